/**
 * Which RCODE a client gets for what an upstream said. Most of what a server
 * says to us is about our query and not about the client's question, so it is
 * SERVFAIL to the client; the extended error says more.
 */
import { RCODE } from '../../wire/codes.ts'

/** Types that exist in questions only (RFC 6895 §3.1). Whoever asks for one may get the refusal that it deserves. */
const isQuestionType = (qtype: number): boolean => qtype >= 128 && qtype <= 255

/** @param rcode all twelve bits of an RCODE that is neither NOERROR nor NXDOMAIN */
export const rcodeForClient = (rcode: number, qtype: number): number => {
  // The name became too long under a DNAME: no server can do better (RFC 6672 §2.2).
  if (rcode === RCODE.YXDOMAIN) return rcode
  const refusal = rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP || rcode === RCODE.REFUSED
  return refusal && isQuestionType(qtype) ? rcode : RCODE.SERVFAIL
}
