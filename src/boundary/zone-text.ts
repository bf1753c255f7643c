/**
 * Owners of a local zone as one text, the form in which a large zone is sent to the data thread
 * (boundary/shared-text.ts). The data thread copies the text and parses an owner's records only when a client
 * asks for them. Sent as objects, a large zone would keep that thread's garbage collector busy while clients wait.
 *
 *   owner   name US rrset *(RS rrset) LF
 *   rrset   type US ttl *(US rdata)
 *
 * US, RS and LF (ASCII 31, 30, 10) never occur in the names and rdata of our zones.
 */
import type { Owner, RRset } from './messages.ts'

/** Separators between a name, its RRsets, and the next owner. */
export const US = 0x1f
export const LF = 0x0a

/** The same as text, and the separator between the RRsets of an owner. */
export const UNIT = '\x1f'
export const RECORD = '\x1e'
const LINE = '\n'

export const ownersToText = (owners: Iterable<Owner>): string => {
  let text = ''
  for (const [name, rrsets] of owners) {
    text += name
    let before = UNIT
    for (const { type, ttl, data } of rrsets) {
      text += `${before}${type}${UNIT}${ttl}`
      for (const datum of data) text += UNIT + datum
      before = RECORD
    }
    text += LINE
  }
  return text
}

/** The RRsets of an owner. */
export const rrsetsOfText = (text: string): readonly RRset[] =>
  text === ''
    ? []
    : text.split(RECORD).map(set => {
        const [type = '', ttl, ...data] = set.split(UNIT)
        return { type, ttl: Number(ttl), data }
      })
