/**
 * Owners of a local zone as one string, which is how a large zone crosses to
 * the data thread: a string is copied, not built up, and what an owner holds
 * is only read when someone asks for it. As objects, 50,000 owners made that
 * thread collect garbage for most of a second, and clients waited.
 *
 *   owner   name US rrset *(RS rrset) LF
 *   rrset   type US ttl *(US rdata)
 *
 * US, RS and LF (ASCII 31, 30, 10) occur in no name and in no rdata that our
 * zones hold.
 */
import type { Owner, RRset } from './boundary.ts'

const US = '\x1f'
const RS = '\x1e'
const LF = '\n'

export const ownersToText = (owners: Iterable<Owner>): string => {
  let text = ''
  for (const [name, rrsets] of owners) {
    text += name
    let before = US
    for (const { type, ttl, data } of rrsets) {
      text += `${before}${type}${US}${ttl}`
      for (const datum of data) text += US + datum
      before = RS
    }
    text += LF
  }
  return text
}

/** Calls back with each owner's name and the text of what it holds. */
export const eachOwner = (text: string, each: (name: string, rrsets: string) => void): void => {
  for (let at = 0; at < text.length;) {
    const end = text.indexOf(LF, at)
    const us = text.indexOf(US, at)
    if (us < 0 || us > end) each(text.slice(at, end), '')
    else each(text.slice(at, us), text.slice(us + 1, end))
    at = end + 1
  }
}

/** What an owner holds. */
export const rrsetsOfText = (text: string): readonly RRset[] =>
  text === ''
    ? []
    : text.split(RS).map(set => {
        const [type = '', ttl, ...data] = set.split(US)
        return { type, ttl: Number(ttl), data }
      })
