/** The actual addresses for a configured listen address. */
import { networkInterfaces } from 'node:os'
import type { DataThreadStart, Endpoint } from '../../boundary/messages.ts'
import { familyOf } from '../../base/ip.ts'
import { isWildcard } from '../../config/address.ts'

/** The address itself. For 0.0.0.0 and ::, every current address of that family on this host. */
export const hostAddresses = (at: Endpoint): Endpoint[] => {
  if (!isWildcard(at.address)) return [{ ...at }]
  const family = at.address === '::' ? 'IPv6' : 'IPv4'
  const found = Object.values(networkInterfaces()).flatMap(list =>
    (list ?? []).filter(i => i.family === family && !i.address.startsWith('fe80:')),
  )
  return found.map(({ address }) => ({ address, port: at.port }))
}

/**
 * What to bind for a configured listen address. 0.0.0.0 and :: are one socket, which also serves addresses that come
 * later. Each current address gets a socket of its own instead where one socket cannot be: only batched I/O answers
 * from the address that was asked, port 0 is another port for each transport, and sockets of single addresses that the
 * service manager has passed hold the port already. None if the host does not have this family.
 */
export const listenersFor = (
  at: Endpoint,
  io: DataThreadStart['io'],
  passed: readonly Endpoint[] = [],
): Endpoint[] => {
  const all = hostAddresses(at)
  const inTheWay = passed.some(
    ({ address, port }) =>
      port === at.port && address !== at.address && familyOf(address) === familyOf(at.address),
  )
  const batched = process.platform === 'linux' && io !== 'dgram'
  return batched && at.port !== 0 && !inTheWay && all.length > 0 ? [{ ...at }] : all
}
