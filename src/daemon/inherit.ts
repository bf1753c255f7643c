/** What to listen on, and which of the sockets from systemd are for it; others are reported and closed. */
import { closeSync } from 'node:fs'
import type { Log } from '../base/log.ts'
import type { Endpoint } from '../boundary/messages.ts'
import type { Config } from '../config/config.ts'
import { listenersFor } from '../control/host/host-addresses.ts'
import { inheritedSockets, matchInherited, type Inherited } from '../ops/listen-fds.ts'

export type Listening = {
  readonly listen: readonly Endpoint[]
  readonly inherited: readonly Inherited[]
}

export const inherit = async (
  { listen: { addresses }, io }: Config,
  log: Log,
): Promise<Listening> => {
  const { sockets, problems } = await inheritedSockets(process.env)
  const listen = addresses.flatMap(at => listenersFor(at, io, sockets))
  for (const { fd, error } of problems)
    log.warn('a descriptor that was passed cannot be used', { fd, err: error })
  if (sockets.length === 0) return { listen, inherited: [] }
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
  const inherited = use.map(({ fd, address, port, transport }) => ({
    fd,
    address,
    port,
    transport,
  }))
  return { listen, inherited }
}
