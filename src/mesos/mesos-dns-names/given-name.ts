/**
 * The name that a scheduler gives a task in DiscoveryInfo. Mesos-DNS publishes it as it is, beside the normalised
 * one. A label may hold any octet (RFC 2181 §11), so that such a name is kept as the text of wire/name.ts, with
 * escapes: 'my app' is `my\032app`.
 */
import { nameText, nameWire } from '../../wire/name.ts'
import { MAX_LABEL, MAX_NAME } from './record.ts'

/** One octet of a label in text. */
const OCTET = /\\\d{3}|\\.|[^\\]/g
/** An octet that continues a character in UTF-8. */
const CONTINUES = /^\\1(?:2[89]|[3-8]\d|9[01])$/
const CAPITAL = /[A-Z]/

const octets = (text: string): readonly string[] => text.match(OCTET) ?? []

/** Length of a name or a label in octets; the dots count as one each. */
export const octetsOf = (text: string): number =>
  text.includes('\\') ? octets(text).length : text.length

/** The first octets of a label, at most `most`, without a part of a character and without dashes at the end. */
export const cutLabel = (label: string, most: number): string => {
  const all = octets(label)
  let end = most
  while (end > 0 && CONTINUES.test(all[end] ?? '')) end--
  return all.slice(0, end).join('').replace(/-+$/, '')
}

/**
 * A given name as text in lower case; '' if nobody could ask for it: it has an empty label, or is too long.
 * `exact` also leaves out a name with capitals. Mesos-DNS lists such a name, but it looks up lower case.
 */
export const givenName = (given: string, exact: boolean): string => {
  if (exact && CAPITAL.test(given)) return ''
  const labels = given.split('.').map(label => Buffer.from(label))
  if (labels.some(label => label.length === 0 || label.length > MAX_LABEL)) return ''
  if (Buffer.byteLength(given) > MAX_NAME) return ''
  const wire = labels.flatMap(label => [Buffer.of(label.length), label])
  return nameText(Buffer.concat([...wire, Buffer.of(0)])).toLowerCase()
}

/** A name as its scheduler wrote it, from its text. */
export const shownName = (text: string): string => {
  const wire = text.includes('\\') ? nameWire(text) : undefined
  if (wire === undefined) return text
  const labels: string[] = []
  for (let at = 0; wire[at] !== 0; at += wire[at]! + 1)
    labels.push(wire.toString('utf8', at + 1, at + 1 + wire[at]!))
  return labels.join('.')
}
