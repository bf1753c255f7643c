/**
 * Maps an upstream's RCODE to the one for the client. Most errors concern our own query and not the client's
 * question, so the client gets SERVFAIL; the extended error contains details.
 */
import { RCODE } from '../../wire/codes.ts'

/** Types that exist only in questions (RFC 6895 §3.1). A refusal of these is meant for the client. */
const isQuestionType = (qtype: number): boolean => qtype >= 128 && qtype <= 255

/** @param rcode all twelve bits of an RCODE other than NOERROR and NXDOMAIN */
export const rcodeForClient = (rcode: number, qtype: number): number => {
  // The name became too long by a DNAME, which no other server can change (RFC 6672 §2.2).
  if (rcode === RCODE.YXDOMAIN) return rcode
  const refusal = rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP || rcode === RCODE.REFUSED
  return refusal && isQuestionType(qtype) ? rcode : RCODE.SERVFAIL
}
