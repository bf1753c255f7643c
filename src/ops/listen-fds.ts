/**
 * Sockets that the service manager opened for us and keeps while we restart (sd_listen_fds(3)): which address each
 * is bound to, and which of our listeners it serves. The data thread uses them; nothing is read here.
 */
import { SocketAddress } from 'node:net'
import type { DataThreadStart, Endpoint } from '../boundary/messages.ts'
import { messageOf } from '../base/error.ts'
import { loadSocketCalls, SO_DOMAIN, SO_TYPE, type SocketCalls } from './socket-calls.ts'

/** One passed socket, as described to the data thread. */
export type Inherited = DataThreadStart['inherited'][number]

export type ListenFds = {
  readonly sockets: readonly (Inherited & { readonly name: string })[]
  /** Descriptors that cannot be used, and why; for the log. */
  readonly problems: readonly { readonly fd: number; readonly error: string }[]
}

/** The number of the first passed descriptor, by definition. */
const FIRST = 3
/** Limit of passed descriptors, so that the environment cannot cause unlimited work. */
const MOST = 64
const AF_INET = 2
const AF_INET6 = 10
const TRANSPORTS: Record<number, Inherited['transport']> = { 1: 'tcp', 2: 'udp' }

/** The canonical spelling of an address (`::0:1` is `::1`); other text is returned unchanged. */
export const canonical = (address: string): string => {
  try {
    const family = address.includes(':') ? 'ipv6' : 'ipv4'
    return new SocketAddress({ address, family, port: 0 }).address
  } catch {
    return address
  }
}

/**
 * Address and port of a sockaddr_in or sockaddr_in6; undefined for others.
 *
 *     0  2  family, this machine's byte order
 *     2  2  port, network order
 *     4  4  IPv4 address        | 4 flow information
 *     8 16                      | IPv6 address
 */
export const endpointOf = (sockaddr: Buffer): Endpoint | undefined => {
  if (sockaddr.length < 8) return undefined
  const family = sockaddr.readUInt16LE(0)
  const port = sockaddr.readUInt16BE(2)
  if (family === AF_INET) return { address: sockaddr.subarray(4, 8).join('.'), port }
  if (family !== AF_INET6 || sockaddr.length < 24) return undefined
  const groups = Array.from({ length: 8 }, (_, i) => sockaddr.readUInt16BE(8 + 2 * i).toString(16))
  return { address: canonical(groups.join(':')), port }
}

const inspect = (calls: SocketCalls, fd: number): Inherited | string => {
  const type = calls.option(fd, SO_TYPE)
  if (type === undefined) return 'is not a socket'
  const transport = TRANSPORTS[type]
  const domain = calls.option(fd, SO_DOMAIN)
  const bound = calls.boundTo(fd)
  const endpoint = bound && endpointOf(bound)
  if (!transport || !endpoint) return `is not a UDP or TCP socket (domain ${domain}, type ${type})`
  return endpoint.port === 0 ? 'is not bound' : { fd, transport, ...endpoint }
}

/**
 * Reads LISTEN_* and removes them from `env`, so that child processes do not use the sockets. Empty if nothing was
 * passed to this process. Never rejects.
 */
export const inheritedSockets = async (
  env: NodeJS.ProcessEnv,
  pid: number = process.pid,
): Promise<ListenFds> => {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env
  for (const key of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'])
    delete env[key]
  const count = Math.min(MOST, Math.trunc(Number(LISTEN_FDS)))
  if (LISTEN_PID !== String(pid) || !(count > 0)) return { sockets: [], problems: [] }
  const names = LISTEN_FDNAMES?.split(':') ?? []
  const fds = Array.from({ length: count }, (_, i) => FIRST + i)
  try {
    const calls = await loadSocketCalls()
    const found = fds.map((fd, i) => ({ fd, name: names[i] ?? '', socket: inspect(calls, fd) }))
    for (const { fd } of found) calls.closeOnExec(fd)
    return {
      sockets: found.flatMap(({ name, socket }) =>
        typeof socket === 'string' ? [] : [{ ...socket, name }],
      ),
      problems: found.flatMap(({ fd, socket }) =>
        typeof socket === 'string' ? [{ fd, error: socket }] : [],
      ),
    }
  } catch (er) {
    const error = `system calls cannot be bound: ${messageOf(er)}`
    return { sockets: [], problems: fds.map(fd => ({ fd, error })) }
  }
}

/** A configured socket that was not passed. */
export type Missing = Endpoint & { readonly transport: Inherited['transport'] }

/**
 * Matches sockets with configured addresses. `extra` sockets fit none, or are duplicates, and should be closed and
 * reported. `missing` ones must be bound by us; that is worth a report if any were passed.
 */
export const matchInherited = <S extends Inherited>(
  sockets: readonly S[],
  listen: readonly Endpoint[],
): { readonly use: S[]; readonly extra: S[]; readonly missing: Missing[] } => {
  const key = (transport: string, { address, port }: Endpoint): string =>
    `${transport} ${canonical(address)} ${port}`
  const wanted = new Map<string, Missing>()
  for (const { address, port } of listen) {
    for (const transport of ['udp', 'tcp'] as const)
      wanted.set(key(transport, { address, port }), { address, port, transport })
  }
  const use: S[] = []
  const extra: S[] = []
  for (const socket of sockets) {
    const found = wanted.delete(key(socket.transport, socket))
    ;(found ? use : extra).push(socket)
  }
  return { use, extra, missing: [...wanted.values()] }
}
