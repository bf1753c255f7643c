/** Our own addresses, from which a looping query would come: those we listen on, and those of this host. */
import { networkInterfaces } from 'node:os'

export const ownAddresses = (listening: readonly string[]): ReadonlySet<string> =>
  new Set([
    ...listening,
    ...Object.values(networkInterfaces()).flatMap(all => (all ?? []).map(i => i.address)),
  ])
