/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_FEATURE_H
#define IDENTITY_FEATURE_H

/*
 * What the engine knows of an observation: keyed hashes of its values, by class, each class capped.
 * The cap keeps those of smallest hash, so it does not depend on the order of arrival either. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity/hash.h"
#include "util/attr.h"
#include "util/sv.h"

enum identity_value_class {
#define VALUE_CLASS(name, word, signal, max) IDENTITY_VALUE_##name,
#include "identity/value.def"
#undef VALUE_CLASS
	IDENTITY_VALUE_COUNT
};

enum {
#define VALUE_CLASS(name, word, signal, max) IDENTITY_VALUES_##name = max,
#include "identity/value.def"
#undef VALUE_CLASS
};

/* Classes before KEYSTROKE are sets of keys; KEYSTROKE is one number of 64 bits. */
#define IDENTITY_SET_CLASSES ((unsigned)IDENTITY_VALUE_KEYSTROKE)
#define IDENTITY_KEYS_MAX                                                                          \
	(IDENTITY_VALUES_TLS + IDENTITY_VALUES_SSH + IDENTITY_VALUES_STACK +                       \
	 IDENTITY_VALUES_PAYLOAD + IDENTITY_VALUES_C2 + IDENTITY_VALUES_CREDENTIAL +               \
	 IDENTITY_VALUES_COMMAND)
#define IDENTITY_FEATURES_TEXT_MAX (IDENTITY_KEYS_MAX * 17 + 32)

struct identity_features {
	bool has_keystroke;
	uint64_t keystroke;
	uint8_t n[IDENTITY_VALUE_COUNT];  /* KEYSTROKE: unused */
	uint64_t keys[IDENTITY_KEYS_MAX]; /* a fixed place for each class; ascending, all different
					   */
};

/* Word of the class inside keys; in evidence, as an analyst reads it. */
const char *identity_value_signal(enum identity_value_class c);
/* Keys of one class; f->n[c] of them. */
const uint64_t *identity_features_of(const struct identity_features *f,
				     enum identity_value_class c);

void identity_features_init(struct identity_features *f);
/* The stack: a TLS fingerprint, an SSH one with its banner; empty views are "none". Both together
 * make a third key. Once per observation. */
void identity_features_stack(struct identity_features *f, const struct identity_secret *secret,
			     struct sv tls, struct sv hassh, struct sv banner);
void identity_features_payload(struct identity_features *f, const struct identity_secret *secret,
			       struct sv sha256);
void identity_features_c2(struct identity_features *f, const struct identity_secret *secret,
			  struct sv endpoint);
void identity_features_credential(struct identity_features *f, const struct identity_secret *secret,
				  struct sv user, struct sv password);
/* A command that everybody types is left out. */
void identity_features_command(struct identity_features *f, const struct identity_secret *secret,
			       struct sv command);
void identity_features_keystroke(struct identity_features *f, uint64_t simhash);
bool identity_features_equal(const struct identity_features *a, const struct identity_features *b);

/* The key of one value, for whoever wants to know which value a key stands for. */
uint64_t identity_key_of(const struct identity_secret *secret, enum identity_value_class c,
			 const struct sv *parts, size_t n);
/* Whether a command holds no address, no key and no odd file name: everybody types it. */
bool identity_command_stock(struct sv command);

/* As one line of text, and back. The text: class letter, then 16 hex digits a key; fits
 * IDENTITY_FEATURES_TEXT_MAX. 0, or -EBADMSG. */
void identity_features_write(const struct identity_features *f, char *dst);
int identity_features_read(struct sv text, struct identity_features *ret) A_NODISCARD;

#endif
