/** Checks whether a new configuration could listen, before the server of the old one stops. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { codeOf, messageOf } from '../base/error.ts'
import { hostPort } from '../base/ip.ts'
import type { Endpoint } from '../boundary/messages.ts'

/** Where a server listens. */
export type Places = { readonly dns: readonly Endpoint[]; readonly http: readonly Endpoint[] }

const bindUdp = ({ address, port }: Endpoint): Promise<void> =>
  new Promise((resolve, reject) => {
    const v6 = address.includes(':')
    const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6 })
    socket.once('error', reject)
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve()))
  })

const bindTcp = ({ address, port }: Endpoint): Promise<void> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host: address, port, ipv6Only: address.includes(':'), exclusive: true }, () =>
      server.close(() => resolve()),
    )
  })

/**
 * Why `wanted` cannot be bound; '' if all of it can. `held` are the places where we listen now. Their ports will be
 * free, so that EADDRINUSE on them is ignored.
 */
export const bindTrouble = async (wanted: Places, held: Places): Promise<string> => {
  const ports = new Set([...held.dns, ...held.http].map(({ port }) => port))
  const tries = [
    ...wanted.dns.flatMap(at => [() => bindUdp(at), () => bindTcp(at)].map(bind => ({ at, bind }))),
    ...wanted.http.map(at => ({ at, bind: () => bindTcp(at) })),
  ]
  for (const { at, bind } of tries) {
    try {
      await bind()
    } catch (er) {
      if (codeOf(er) === 'EADDRINUSE' && ports.has(at.port)) continue
      return `${hostPort(at.address, at.port)} cannot be bound: ${messageOf(er)}`
    }
  }
  return ''
}
