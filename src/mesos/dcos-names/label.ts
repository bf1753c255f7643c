/**
 * Converts Mesos names to DNS labels by the exact rules of dcos-net and of Mesos-DNS, because clients depend on the
 * resulting names. Letters become lower case, `-` `_` `.` become a dash, other characters are dropped, and no dash
 * begins or ends a label. The two rules differ only when a cut leaves trailing dashes.
 */

/** Longest label, RFC 1035 §2.3.4. */
const MAX_1123 = 63
/** Longest label under RFC 952. */
const MAX_952 = 24

/** Matches names that need no conversion, which is most of them. */
const PLAIN = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/

const DASH = 0x2d

/** The character code for this one in a label: a letter, a digit, a dash, or -1 to drop it. */
const mapped = (code: number): number => {
  if (code >= 0x61 && code <= 0x7a) return code
  if (code >= 0x41 && code <= 0x5a) return code + 0x20
  if (code >= 0x30 && code <= 0x39) return code
  return code === DASH || code === 0x5f || code === 0x2e ? DASH : -1
}

/** The string with every character converted, from the first one that may begin a label. */
const folded = (s: string, digitFirst: boolean): string => {
  let out = ''
  for (let i = 0; i < s.length; i++) {
    const code = mapped(s.charCodeAt(i))
    if (code < 0 || (out === '' && (code === DASH || (code < 0x61 && !digitFirst)))) continue
    out += String.fromCharCode(code)
  }
  return out
}

/** The string without trailing dashes. */
const trimmed = (s: string): string => {
  let end = s.length
  while (end > 0 && s.charCodeAt(end - 1) === DASH) end--
  return s.slice(0, end)
}

/** `s` cut to `max`. If the cut leaves trailing dashes, they are replaced by what `refill` takes from the rest. */
const fitted = (s: string, max: number, refill: (rest: string) => string): string => {
  const head = trimmed(s.slice(0, max))
  return head.length === max || s.length <= max
    ? head
    : trimmed((head + refill(s.slice(max))).slice(0, max))
}

const withoutDashes = (rest: string): string => rest.replaceAll('-', '')
const afterDashes = (rest: string): string => rest.replace(/^-+/, '')

/**
 * One RFC 1123 label of at most 63 octets from any string, as dcos-net's `mesos_state:label` does; '' if nothing is
 * left.
 */
export const label = (s: string): string =>
  PLAIN.test(s) ? s : fitted(folded(s, true), MAX_1123, withoutDashes)

/** The same by Mesos-DNS's rule, which keeps later dashes when a cut leaves trailing ones. */
export const mesosDnsLabel = (s: string): string =>
  PLAIN.test(s) ? s : fitted(folded(s, true), MAX_1123, afterDashes)

/**
 * One RFC 952 label of at most 24 octets that starts with a letter, as Mesos-DNS does under `enforceRFC952`; '' if
 * nothing is left.
 */
export const label952 = (s: string): string => fitted(folded(s, false), MAX_952, afterDashes)

/**
 * Several labels: `one` converts each part between dots, and empty parts are dropped. '' if nothing is left. The
 * caller must check the limit of 253 characters.
 */
export const domainFrag = (s: string, one: (part: string) => string = label): string =>
  s
    .split('.')
    .map(one)
    .filter(part => part !== '')
    .join('.')
