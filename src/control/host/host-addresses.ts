/** What a configured listen address stands for on this host. */
import { networkInterfaces } from 'node:os'
import type { Endpoint } from '../../boundary/messages.ts'

/**
 * The address itself, or for 0.0.0.0 and :: (which the configuration allows
 * only by name) every address of that family the host has now: one socket
 * each, so that a response leaves from the address that was asked.
 */
export const hostAddresses = (at: Endpoint): Endpoint[] => {
  if (at.address !== '0.0.0.0' && at.address !== '::') return [{ ...at }]
  const family = at.address === '::' ? 'IPv6' : 'IPv4'
  const found = Object.values(networkInterfaces()).flatMap(list =>
    (list ?? []).filter(i => i.family === family && !i.address.startsWith('fe80:')),
  )
  return found.map(({ address }) => ({ address, port: at.port }))
}
