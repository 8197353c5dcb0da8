/* rules_sealed.h: signed packs of rules. Beside the stored pack VAR/packs/HASH lies VAR/packs/HASH.sig, a text:
 *
 *     fastr signed pack 1
 *     key 0123456789abcdef
 *     signature BASE64URL
 *     {"abi":1,"at":"...","author":"...","message":"...","pack":"HASH","parent":...,"points":[...],"report":...}
 *
 * The last line is the statement, canonical JSON; the signature is Ed25519's (RFC 8032) over its bytes. A key's id is
 * the first 16 hex digits of the SHA-256 of its 32 bytes. Whom a host trusts stands in VAR/secrets/rules_trusted, one
 * line a key: "ed25519 BASE64URL NAME". All of it is files of this host: nobody is asked. */
#ifndef FASTR_RULES_SEALED_H
#define FASTR_RULES_SEALED_H

#include "bindings/util.h"

enum { FASTR_RULES_ABI = 1 }; /* the version of the C arithmetic that an order's price was made with */

/* Is this text a statement about the pack `hash`, for this arithmetic and the decision points that the setting
 * rules.points names, signed by a key that is trusted here? 0 and its id in `key`, or -1 and why not. Codes:
 * "pack_unsigned" (no such text), "pack_key_unknown", "pack_signature_wrong" (the text or the signature was changed),
 * "pack_unfit" (for another pack, arithmetic, or other decision points), "unavailable" (the list of keys cannot be
 * read). */
int fastr_sealed_check(const char *text, size_t length, const char *hash, char key[17], struct fastr_err *err);
/* The same for the file FOLDER/HASH.sig; the text of the error begins with its path. */
int fastr_sealed_check_file(const char *folder, const char *hash, char key[17], struct fastr_err *err);
/* Must a pack be signed to become live here (the setting rules.signed)? */
bool fastr_sealed_needed(void);
/* The whole of FOLDER/HASH.sig, which the caller frees; NULL with "pack_unsigned" or "unavailable". */
char *fastr_sealed_read(const char *folder, const char *hash, size_t *length, struct fastr_err *err);

#endif
