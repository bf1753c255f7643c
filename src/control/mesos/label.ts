/**
 * How names from Mesos become DNS labels: the rules of Mesos-DNS and of
 * dcos-net's `mesos_state:label`, byte for byte, because clients have the
 * resulting names in their configuration. Upper case is folded, `-` `_` `.`
 * become a dash, anything else that is no ASCII letter or digit is dropped.
 */

/** Longest label, RFC 1035 §2.3.4. */
const MAX_1123 = 63
/** Longest label under RFC 952. */
const MAX_952 = 24

const DASH = 0x2d

/** The code a label gets for this one: a letter, a digit, a dash, or -1 to drop it. */
const mapped = (code: number): number => {
  if (code >= 0x61 && code <= 0x7a) return code
  if (code >= 0x41 && code <= 0x5a) return code + 0x20
  if (code >= 0x30 && code <= 0x39) return code
  return code === DASH || code === 0x5f || code === 0x2e ? DASH : -1
}

/** The part of `out` before its trailing dashes. */
const trimmed = (out: string): string => {
  let end = out.length
  while (end > 0 && out.charCodeAt(end - 1) === DASH) end--
  return out.slice(0, end)
}

/**
 * Leading characters that may not start a label are dropped, and trailing
 * dashes too. A label that reaches `max` loses its trailing dashes at once and
 * the freed room is filled with the letters and digits that follow.
 */
const fold = (s: string, max: number, digitFirst: boolean): string => {
  let out = ''
  let full = false
  for (let i = 0; i < s.length; i++) {
    const code = mapped(s.charCodeAt(i))
    if (code < 0 || (code === DASH && (full || out === ''))) continue
    if (out === '' && code < 0x61 && !digitFirst) continue
    out += String.fromCharCode(code)
    if (out.length < max) continue
    full = true
    out = trimmed(out)
    if (out.length >= max) return out
  }
  return trimmed(out)
}

/** One RFC 1123 label of at most 63 octets from any string; '' if nothing of it is left. */
export const label = (s: string): string => fold(s, MAX_1123, true)

/** One RFC 952 label of at most 24 octets, which starts with a letter; '' if nothing is left. */
export const label952 = (s: string): string => fold(s, MAX_952, false)

/**
 * Several labels: each part between dots is normalised with `one`, parts that
 * are or become empty disappear. '' if nothing is left.
 */
export const domainFrag = (s: string, one: (part: string) => string = label): string =>
  s
    .split('.')
    .map(one)
    .filter(part => part !== '')
    .join('.')
