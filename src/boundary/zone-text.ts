/**
 * Owners of a local zone as one text, which is how a large zone crosses to
 * the data thread (boundary/carrier.ts): a text is copied, not built up, and what an
 * owner holds is only read when someone asks for it. As objects, 50,000 owners made that
 * thread collect garbage for most of a second, and clients waited.
 *
 *   owner   name US rrset *(RS rrset) LF
 *   rrset   type US ttl *(US rdata)
 *
 * US, RS and LF (ASCII 31, 30, 10) occur in no name and in no rdata that our
 * zones hold.
 */
import type { Owner, RRset } from './messages.ts'

/** Octets between a name, what it holds, and the next. */
export const US = 0x1f
export const LF = 0x0a

const UNIT = '\x1f'
const RECORD = '\x1e'
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

/** What an owner holds. */
export const rrsetsOfText = (text: string): readonly RRset[] =>
  text === ''
    ? []
    : text.split(RECORD).map(set => {
        const [type = '', ttl, ...data] = set.split(UNIT)
        return { type, ttl: Number(ttl), data }
      })
