/**
 * How names from Mesos become DNS labels: the rules of dcos-net and of
 * Mesos-DNS, byte for byte, because clients have the resulting names in their
 * configuration. Upper case is folded, `-` `_` `.` become a dash, anything
 * else that is no ASCII letter or digit is dropped; no dash begins or ends a
 * label. The two agree but for what follows a cut among dashes.
 */

/** Longest label, RFC 1035 §2.3.4. */
const MAX_1123 = 63
/** Longest label under RFC 952. */
const MAX_952 = 24

/** Most names are labels already; they are not walked. */
const PLAIN = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/

const DASH = 0x2d

/** The code a label gets for this one: a letter, a digit, a dash, or -1 to drop it. */
const mapped = (code: number): number => {
  if (code >= 0x61 && code <= 0x7a) return code
  if (code >= 0x41 && code <= 0x5a) return code + 0x20
  if (code >= 0x30 && code <= 0x39) return code
  return code === DASH || code === 0x5f || code === 0x2e ? DASH : -1
}

/** The string with every character mapped, from the first that may start a label. */
const folded = (s: string, digitFirst: boolean): string => {
  let out = ''
  for (let i = 0; i < s.length; i++) {
    const code = mapped(s.charCodeAt(i))
    if (code < 0 || (out === '' && (code === DASH || (code < 0x61 && !digitFirst)))) continue
    out += String.fromCharCode(code)
  }
  return out
}

/** The part of a string before its trailing dashes. */
const trimmed = (s: string): string => {
  let end = s.length
  while (end > 0 && s.charCodeAt(end - 1) === DASH) end--
  return s.slice(0, end)
}

/** `s` cut to `max`; the room that trailing dashes of the cut leave is filled from `refill` of the rest. */
const fitted = (s: string, max: number, refill: (rest: string) => string): string => {
  const head = trimmed(s.slice(0, max))
  return head.length === max || s.length <= max
    ? head
    : trimmed((head + refill(s.slice(max))).slice(0, max))
}

const withoutDashes = (rest: string): string => rest.replaceAll('-', '')
const afterDashes = (rest: string): string => rest.replace(/^-+/, '')

/**
 * One RFC 1123 label of at most 63 octets from any string, '' if nothing of
 * it is left, as dcos-net makes them (`mesos_state:label`).
 */
export const label = (s: string): string =>
  PLAIN.test(s) ? s : fitted(folded(s, true), MAX_1123, withoutDashes)

/** The same as Mesos-DNS makes them: behind a cut among dashes it keeps the later dashes. */
export const mesosDnsLabel = (s: string): string =>
  PLAIN.test(s) ? s : fitted(folded(s, true), MAX_1123, afterDashes)

/**
 * One RFC 952 label of at most 24 octets, which starts with a letter, '' if
 * nothing is left: Mesos-DNS under `enforceRFC952`.
 */
export const label952 = (s: string): string => fitted(folded(s, false), MAX_952, afterDashes)

/**
 * Several labels: each part between dots is normalised with `one`, parts that
 * are or become empty disappear. '' if nothing is left. No more than 253
 * characters in all is the caller's to see to.
 */
export const domainFrag = (s: string, one: (part: string) => string = label): string =>
  s
    .split('.')
    .map(one)
    .filter(part => part !== '')
    .join('.')
