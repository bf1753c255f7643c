/** Resolves names through our own data thread, with the cache and the routes that clients use. */
import { TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { nameWire } from '../../wire/name.ts'
import { Records, scan } from '../../wire/scan.ts'
import { plainQuery } from '../../wire/question.ts'
import { fail } from '../../base/error.ts'

const records = new Records()

/** A resolver on top of a function that answers query messages. Rejects with EDATA for an invalid name. */
export const resolveBy =
  (ask: (wire: Uint8Array) => Promise<{ readonly wire: Buffer }>) =>
  async (name: string): Promise<string[]> => {
    const wire = nameWire(name)
    if (!wire) throw fail(`'${name}' is no name`, 'EDATA')
    const found = await Promise.all(
      [TYPE.A, TYPE.AAAA].map(async type => {
        const { wire: answer } = await ask(plainQuery(wire, type))
        return addressesIn(answer)
      }),
    )
    return found.flat()
  }

const addressesIn = (b: Buffer): string[] => {
  if (b.length < HEADER || !scan(b, b.length, records)) return []
  const out: string[] = []
  for (let i = 0; i < records.count; i++) {
    const rdata = b.subarray(records.rdataAt[i]!, records.rdataEnd[i]!)
    if (records.section[i] !== 1) continue
    if (records.type[i] === TYPE.A && rdata.length === 4) out.push(rdata.join('.'))
    else if (records.type[i] === TYPE.AAAA && rdata.length === 16)
      out.push(rdata.toString('hex').replace(/(.{4})(?!$)/g, '$1:'))
  }
  return out
}
