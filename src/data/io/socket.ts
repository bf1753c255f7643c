/** Opens UDP sockets with system calls: binds or adopts them, and sets the options that a DNS server needs. */
import { hostPort } from '../../base/ip.ts'
import { codeOf, fail } from '../../base/error.ts'
import type { Coded } from '../../base/error.ts'
import { AF_INET, AF_INET6, InetPeer, NAME_BYTES, inetPeer } from './inet.ts'
import {
  IPV6_MTU_DISCOVER,
  IPV6_RECVERR,
  IPV6_RECVPKTINFO,
  IPV6_V6ONLY,
  IP_MTU_DISCOVER,
  IP_PKTINFO,
  IP_RECVERR,
  PMTUDISC_OMIT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_TYPE,
  errnoName,
} from './libc.ts'
import type { Libc } from './libc.ts'
import type { SocketSpec } from './packet-io.ts'

/** Default receive buffer in bytes, as in dcos-net. */
export const RECEIVE_BUFFER = 1024 * 1024

/** Index of the drop count in the nine words of SO_MEMINFO. */
const MEMINFO_WORDS = 9
const MEMINFO_DROPS = 8

/** The Error for an address that cannot be bound; `errno` is a name such as EADDRINUSE. */
export const bindError = (spec: SocketSpec, errno: string, cause?: unknown): Coded => {
  const { address, port } = spec
  const where = hostPort(address, port)
  return fail(`cannot bind ${where} over UDP: ${errno}`, 'EBIND', { errno, address, port, cause })
}

/** The spec's address as a peer; a bad literal is reported like an address that cannot be bound. */
export const specPeer = (spec: SocketSpec): InetPeer => {
  try {
    return inetPeer(spec.address, spec.port)
  } catch (er) {
    throw codeOf(er) === 'EUSAGE' ? bindError(spec, 'EINVAL', er) : er
  }
}

/** The result of opening a socket. */
export type Opened = {
  readonly fd: number
  readonly bound: InetPeer
  /** Bound to the wildcard address: replies must set the address that was asked (IP_PKTINFO). */
  readonly wildcard: boolean
}

/** Memory for the arguments and results of the calls. */
const scratch = (libc: Libc) => {
  const words = new Int32Array(new ArrayBuffer(64))
  return { words, at: libc.addressOf(words.buffer) }
}

/** Opens and binds, or adopts `spec.fd`. Throws EBIND. */
export const openUdp = (libc: Libc, spec: SocketSpec): Opened => {
  const { words, at } = scratch(libc)
  const want = specPeer(spec)
  const v6 = want.family === 6
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  const fd = spec.fd ?? libc.socket(v6 ? AF_INET6 : AF_INET, type, 0)
  const refuse = (errno = errnoName(libc.errno())): never => {
    if (spec.fd === undefined && fd >= 0) libc.close(fd)
    throw bindError(spec, errno)
  }
  if (fd < 0) refuse()
  const get = (level: number, option: number): number => {
    words[0] = -1
    words[1] = 4
    return libc.getsockopt(fd, level, option, at, at + 4) < 0 ? -1 : words[0]
  }
  const set = (level: number, option: number, value: number): boolean => {
    words[0] = value
    return libc.setsockopt(fd, level, option, at, 4) === 0
  }
  if (spec.fd !== undefined) {
    const had = get(SOL_SOCKET, SO_TYPE)
    if (had < 0) refuse()
    if (had !== SOCK_DGRAM) refuse('EPROTOTYPE')
  } else {
    if (v6) set(SOL_IPV6, IPV6_V6ONLY, 1)
    want.put(words, 0)
    if (libc.bind(fd, at, v6 ? NAME_BYTES - 4 : 16) < 0) refuse()
  }
  words.fill(0)
  words[8] = NAME_BYTES
  if (libc.getsockname(fd, at, at + 32) < 0) refuse()
  const family = words[0]! & 0xffff
  if (family !== AF_INET && family !== AF_INET6) refuse('EAFNOSUPPORT')
  const bound = new InetPeer(words, 0)
  const wildcard =
    words.subarray(2, 6).every(w => w === 0) && (bound.family === 6 || words[1] === 0)
  const [level, discover, report, info] =
    bound.family === 4
      ? [SOL_IP, IP_MTU_DISCOVER, IP_RECVERR, IP_PKTINFO]
      : [SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_RECVPKTINFO]
  set(level, discover, PMTUDISC_OMIT)
  if (spec.onError) set(level, report, 1)
  if (wildcard) set(level, info, 1)
  const bytes = spec.receiveBuffer ?? RECEIVE_BUFFER
  // The kernel reports twice what was set. A buffer that systemd made larger stays as it is.
  if (spec.fd !== undefined && get(SOL_SOCKET, SO_RCVBUF) >= 2 * bytes)
    return { fd, bound, wildcard }
  // FORCE ignores net.core.rmem_max but needs CAP_NET_ADMIN; without it the machine's limit applies.
  if (!set(SOL_SOCKET, SO_RCVBUFFORCE, bytes)) set(SOL_SOCKET, SO_RCVBUF, bytes)
  return { fd, bound, wildcard }
}

/**
 * Returns a function that reads how many datagrams the kernel dropped on a descriptor since it was opened; -1 if
 * unknown.
 */
export const dropCounter = (libc: Libc): ((fd: number) => number) => {
  const { words, at } = scratch(libc)
  return fd => {
    words[MEMINFO_WORDS] = MEMINFO_WORDS * 4
    const done = libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, at, at + MEMINFO_WORDS * 4)
    return done < 0 ? -1 : words[MEMINFO_DROPS]! >>> 0
  }
}
