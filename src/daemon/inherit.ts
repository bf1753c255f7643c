/** Selects the sockets from systemd that match the configuration; others are reported and closed. */
import { closeSync } from 'node:fs'
import type { Log } from '../base/log.ts'
import type { Endpoint } from '../boundary/messages.ts'
import { inheritedSockets, matchInherited, type Inherited } from '../ops/listen-fds.ts'

export const inherit = async (
  listen: readonly Endpoint[],
  log: Log,
): Promise<readonly Inherited[]> => {
  const { sockets, problems } = await inheritedSockets(process.env)
  for (const { fd, error } of problems)
    log.warn('a descriptor that was passed cannot be used', { fd, err: error })
  if (sockets.length === 0) return []
  const { use, extra, missing } = matchInherited(sockets, listen)
  for (const { fd, address, port, transport } of extra) {
    log.warn('a socket that was passed is not in listen.addresses; it is closed', {
      address,
      port,
      transport,
    })
    closeSync(fd)
  }
  for (const { address, port, transport } of missing)
    log.warn('no socket was passed for this address; it is bound here', {
      address,
      port,
      transport,
    })
  return use.map(({ fd, address, port, transport }) => ({ fd, address, port, transport }))
}
