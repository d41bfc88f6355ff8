/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream hub as a model: a writer that commits journal rows, hints that may be lost, a gateway with a small ring
 * that catches viewers up from the journal, and a viewer that is cut, comes back with its last id, and outlives a
 * crash of the gateway. The numbers are small, the interleavings are all of them.
 *
 * G1  no gap and no overlap after a snapshot        assertions in got_row
 * G2  in order, exactly once, over every reconnect  assertions in got_row, got_resumed and rest
 * G3  nothing silent                                assertions in got_snapshot; a silent loss fails got_row
 *
 * -DBROKEN_START  snapshot first, subscription later: rows committed in between are lost
 * -DBROKEN_LAG    a viewer that fell off the ring goes on at its base instead of being caught up
 * -DBROKEN_HINT   the gateway reads the journal only when a hint arrives
 * Each must fail, which shows that the properties can.
 */
#define ROWS 3
#define RING 1
#define CUTS 2
#define WIRE 1

mtype = { snapshot, resumed, row, by_connect, by_expired, by_lagged, by_nothing };

/* The store: rows first..end are in the journal; mine[n] says whether row n belongs to the viewer's stream. */
byte first = 1;
byte end = 0;
bool mine[ROWS + 1];
bool hint = false;

/* The gateway: rows base..seq are in the ring, row n in slot n % RING. */
byte seq = 0;
byte base = 1;
byte ring[RING];

/* The connection: what the viewer asked for, the gateway's cursor, the frames under way. */
bool asked = true;
bool open = false;
bool down = false; /* the gateway ended it; the viewer has not noticed yet */
byte next = 0;
byte to = 0; /* announce `resumed` when the cursor is past this row; 0 = nothing to announce */
byte replayed = 0;
chan wire = [WIRE] of { mtype, byte, mtype };

/* The viewer. */
byte last = 0;
byte counted = 0;
byte cuts = 0;

inline drain()
{
	do
	:: nempty(wire) -> wire?_, _, _
	:: empty(wire) -> break
	od
}

/* Whether a row of the stream lies in (from, upto]. */
inline missing(from, upto, ret)
{
	ret = false;
	i = from + 1;
	do
	:: i <= upto -> ret = ret || mine[i]; i++
	:: else -> break
	od;
	i = 0
}

active proctype writer()
{
	bool pruned = false;

	do
	:: atomic {
		end < ROWS ->
		/* The row and its number come with one commit; the hint follows it and may be lost. */
		end++;
		if
		:: mine[end] = true
		:: mine[end] = false
		fi;
		if
		:: hint = true
		:: skip
		fi
	   }
	:: atomic { !pruned && end > 1 -> first = end; pruned = true }
	:: end == ROWS -> break
	od
}

inline accept()
{
	asked = false;
	counted = 0;
	replayed = 0;
	to = 0;
	if
	:: last == 0 || last > end || last + 1 < first ->
#ifdef BROKEN_START
		subscribing = true;
#else
		next = end + 1;
		open = true;
#endif
		if
		:: last == 0 -> wire!snapshot, end, by_connect
		:: else -> wire!snapshot, end, by_expired
		fi
	:: else ->
		next = last + 1;
		to = end;
		open = true
	fi
}

/* Takes the rows above seq into the ring; the oldest fall off. */
inline refresh()
{
	hint = false;
	do
	:: seq < end -> seq++; ring[seq % RING] = seq
	:: else -> break
	od;
	if
	:: seq >= RING && base < seq - RING + 1 -> base = seq - RING + 1
	:: else -> skip
	fi
}

/* `resumed` comes before the first row above it. */
#define ANNOUNCE (to > 0 && next > to)

inline send_row()
{
	if
	:: mine[next] ->
		wire!row, next, by_nothing;
		if
		:: next <= to -> replayed++
		:: else -> skip
		fi
	:: else -> skip
	fi;
	next++
}

active proctype gateway()
{
	bool crashed = false;
	bool subscribing = false;

end_idle:
	do
	/* One read transaction: what it answers, the watermark and the cursor belong together. */
	:: atomic { asked && nfull(wire) -> accept() }
#ifdef BROKEN_START
	:: atomic { subscribing -> subscribing = false; next = seq + 1; open = true }
#endif
	/* Woken by a hint, or by the clock. */
#ifdef BROKEN_HINT
	:: atomic { hint -> refresh() }
#else
	:: atomic { hint || seq < end -> refresh() }
#endif
	/* From the journal until the cursor is on the ring; rows up to `to` are replayed without waiting for it. */
	:: atomic {
		open && nfull(wire) && !ANNOUNCE && next <= end && next < base ->
#ifdef BROKEN_LAG
		next = base
#else
		if
		:: next < first ->
			next = end + 1;
			to = 0;
			wire!snapshot, end, by_lagged
		:: else -> send_row()
		fi
#endif
	   }
	:: atomic {
		open && nfull(wire) && !ANNOUNCE && next >= base && next <= seq ->
		assert(ring[next % RING] == next);
		send_row()
	   }
	:: atomic { open && nfull(wire) && ANNOUNCE -> wire!resumed, to, by_nothing; to = 0 }
	:: atomic {
		!crashed && !asked -> /* kill -9, and the next one starts at the end of the journal */
		crashed = true;
		subscribing = false;
		open = false;
		down = true;
		seq = end;
		base = end + 1
	   }
	od
}

inline got_snapshot()
{
	assert(why != by_connect || last == 0);
	assert(id >= last);
	last = id
}

inline got_row()
{
	assert(id > last);
	assert(id <= end && mine[id]);
	missing(last, id - 1, gap);
	assert(!gap);
	last = id;
	counted++
}

inline got_resumed()
{
	missing(last, id, gap);
	assert(!gap);
	assert(id >= last && counted == replayed);
	last = id
}

/* Whatever it had not read is gone; it asks again with the last id it has read. */
inline reconnect()
{
	drain();
	open = false;
	down = false;
	asked = true
}

active proctype viewer()
{
	byte id = 0;
	byte i = 0;
	bool gap = false;
	mtype what = row;
	mtype why = by_nothing;

end_watching:
	do
	:: atomic {
		wire?what, id, why ->
		if
		:: what == snapshot -> got_snapshot()
		:: what == row -> got_row()
		:: what == resumed -> got_resumed()
		fi;
		id = 0;
		what = row;
		why = by_nothing
	   }
	:: atomic { open && cuts < CUTS -> cuts++; reconnect() }
	:: atomic { down -> reconnect() }
	od
}

/*
 * Everything arrives in the end, whichever hints were lost. Every run comes to rest (no cycle: checked too), and at
 * rest no row of the stream is ahead of the viewer.
 */
active proctype rest()
{
	byte i = 0;
	bool gap = false;

	atomic {
		timeout ->
		assert(end == ROWS && !asked && open && !down && empty(wire));
		missing(last, ROWS, gap);
		assert(!gap)
	}
}
