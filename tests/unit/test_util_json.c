/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON: what is refused, and numbers beyond what a machine holds. */
#include <cmocka_guard.h>
