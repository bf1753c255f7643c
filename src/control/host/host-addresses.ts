/** The actual addresses for a configured listen address. */
import { networkInterfaces } from 'node:os'
import type { Endpoint } from '../../boundary/messages.ts'

/**
 * The address itself. For 0.0.0.0 and ::, every current address of that family on this host: each gets its own
 * socket, so that a response leaves from the address that was asked.
 */
export const hostAddresses = (at: Endpoint): Endpoint[] => {
  if (at.address !== '0.0.0.0' && at.address !== '::') return [{ ...at }]
  const family = at.address === '::' ? 'IPv6' : 'IPv4'
  const found = Object.values(networkInterfaces()).flatMap(list =>
    (list ?? []).filter(i => i.family === family && !i.address.startsWith('fe80:')),
  )
  return found.map(({ address }) => ({ address, port: at.port }))
}
