/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_CONTROL_H
#define DECOY_CONTROL_H

/*
 * The control channel: a SOCK_SEQPACKET socket pair between the network driver (in the mutator) and
 *the decoy process. One JSON object a message, at most CONTROL_BYTES_MAX; `open` carries one
 *listening descriptor. The driver speaks, the decoy answers each request with its number:
 *
 *	{"n":7,"op":"open","listener":"<id>","topology_id":…,"decky_uuid":…,"decky":…,"service":"http","port":80,"proto":"tcp",
 *	 "config":{…},"hostname":"web-01","seed":"<16 hex>","archetype":"linux-server"}    + fd ->
 *{"n":7,"ok":true} or {"n":7,"ok":false,"error":"…"}
 *	{"n":8,"op":"close","listener":"<id>"}     its listener closes, its sessions end ->
 *{"n":8,"ok":true} (also when it was not there)
 *	{"n":9,"op":"list"} -> {"n":9,"listener":"<id>"}… then {"n":9,"ok":true}
 *
 * `port` is the service's own port (80), whatever port the socket is bound to. `open` of an id that
 *is there replaces nothing: {"ok":false,"error":"exists"}. When the decoy process starts it says
 *{"op":"started","source":"<16 hex>","pid":n}; the driver then hands it every listener again.
 * Listener ids are 1..160 characters of [A-Za-z0-9_./:-].
 */

#define CONTROL_BYTES_MAX    131072
#define CONTROL_LISTENER_MAX 160

#endif
