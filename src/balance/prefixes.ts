/**
 * A range of addresses as the fewest prefixes that cover exactly it, because routes and rules accept only prefixes.
 * Pure.
 */
import { familyOf, ipToNumber, numberToIp } from '../base/ip.ts'

export const prefixesOf = (min: string, max: string): string[] => {
  const family = familyOf(min) === 6 ? 6 : 4
  const width = family === 4 ? 32 : 128
  const end = ipToNumber(max)
  const prefixes: string[] = []
  for (let at = ipToNumber(min); at <= end;) {
    let bits = 0
    // As large as its alignment and the end of the range allow.
    while (
      bits < width &&
      at % (1n << BigInt(bits + 1)) === 0n &&
      at + (1n << BigInt(bits + 1)) - 1n <= end
    )
      bits++
    prefixes.push(`${numberToIp(at, family)}/${width - bits}`)
    at += 1n << BigInt(bits)
  }
  return prefixes
}
