/**
 * System calls for batches, bound with koffi, and their constants for Linux on x86-64 and arm64. Pointers are plain
 * numbers (addresses fit into 53 bits), because passing a Buffer costs 40 ns more per call. Tests pass in a Libc
 * whose calls fail.
 */
import { getSystemErrorName } from 'node:util'

export const SOCK_DGRAM = 2
export const SOCK_STREAM = 1
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const AF_UNIX = 1
export const SOL_SOCKET = 1
export const SO_TYPE = 3
export const SO_RCVBUF = 8
export const SO_RCVBUFFORCE = 33
export const SO_MEMINFO = 55
export const SOL_IP = 0
export const IP_PKTINFO = 8
export const IP_MTU_DISCOVER = 10
export const IP_RECVERR = 11
export const SOL_IPV6 = 41
export const IPV6_MTU_DISCOVER = 23
export const IPV6_RECVERR = 25
export const IPV6_V6ONLY = 26
export const IPV6_RECVPKTINFO = 49
export const SOL_UDP = 17
/** linux/udp.h, since 4.18: the size of the datagrams that one message is split into. */
export const UDP_SEGMENT = 103
/** Ignores the path MTU in ICMP messages, because a forged "fragmentation needed" must not shrink our answers. */
export const PMTUDISC_OMIT = 5
export const MSG_TRUNC = 0x20
export const MSG_DONTWAIT = 0x40
export const MSG_ERRQUEUE = 0x2000
export const EPOLLIN = 1
export const EPOLLERR = 8
export const EPOLL_CTL_ADD = 1
export const EPOLL_CTL_DEL = 2
export const EPOLL_CLOEXEC = 0o2000000
export const SCHED_OTHER = 0
export const SCHED_RR = 2
export const SCHED_RESET_ON_FORK = 0x40000000
export const EINTR = 4
export const EIO = 5
export const EAGAIN = 11
export const ENOMEM = 12
export const EINVAL = 22
export const EMSGSIZE = 90
export const ENOBUFS = 105

/** The calls. As in C, each returns -1 on failure and `errno()` gives the reason. Addresses are numbers. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number
  socketpair(domain: number, type: number, protocol: number, fds: number): number
  bind(fd: number, name: number, length: number): number
  getsockname(fd: number, name: number, length: number): number
  setsockopt(fd: number, level: number, option: number, value: number, length: number): number
  getsockopt(fd: number, level: number, option: number, value: number, length: number): number
  close(fd: number): number
  epoll_create1(flags: number): number
  epoll_ctl(epoll: number, op: number, fd: number, event: number): number
  epoll_wait(epoll: number, events: number, max: number, timeoutMs: number): number
  recvmmsg(fd: number, headers: number, count: number, flags: number, timeout: number): number
  sendmmsg(fd: number, headers: number, count: number, flags: number): number
  madvise(address: number, length: number, advice: number): number
  /** 0 is the calling thread; `param` is the address of its struct sched_param. */
  sched_setscheduler(thread: number, policy: number, param: number): number
  errno(): number
  /** Returns free memory of malloc to the system; takes up to 1 ms. Does nothing if the C library lacks the call. */
  trim(): void
  /** The memory address of a buffer. It is valid while the buffer is referenced. */
  addressOf(memory: ArrayBuffer): number
}

/**
 * Binds the calls. Rejects if koffi has no binary for this machine. The import is inside the function, so that a
 * machine without koffi can load this file.
 */
export const loadLibc = async (): Promise<Libc> => {
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const bind = (name: string, ...args: string[]) => libc.func(name, 'int', args)
  /** glibc has the call, musl does not. */
  const mallocTrim = (): ((pad: number) => number) => {
    try {
      return bind('malloc_trim', 'size_t')
    } catch {
      return () => 0
    }
  }
  const trim = mallocTrim()
  return {
    socket: bind('socket', 'int', 'int', 'int'),
    socketpair: bind('socketpair', 'int', 'int', 'int', 'uintptr_t'),
    bind: bind('bind', 'int', 'uintptr_t', 'uint'),
    getsockname: bind('getsockname', 'int', 'uintptr_t', 'uintptr_t'),
    setsockopt: bind('setsockopt', 'int', 'int', 'int', 'uintptr_t', 'uint'),
    getsockopt: bind('getsockopt', 'int', 'int', 'int', 'uintptr_t', 'uintptr_t'),
    close: bind('close', 'int'),
    epoll_create1: bind('epoll_create1', 'int'),
    epoll_ctl: bind('epoll_ctl', 'int', 'int', 'int', 'uintptr_t'),
    epoll_wait: bind('epoll_wait', 'int', 'uintptr_t', 'int', 'int'),
    recvmmsg: bind('recvmmsg', 'int', 'uintptr_t', 'uint', 'int', 'uintptr_t'),
    sendmmsg: bind('sendmmsg', 'int', 'uintptr_t', 'uint', 'int'),
    madvise: bind('madvise', 'uintptr_t', 'size_t', 'int'),
    sched_setscheduler: bind('sched_setscheduler', 'int', 'int', 'uintptr_t'),
    errno: () => koffi.errno(),
    trim: () => void trim(0),
    addressOf: memory => Number(koffi.address(memory)),
  }
}

/** The name of an errno, such as EADDRINUSE. */
export const errnoName = (errno: number): string => getSystemErrorName(-errno)
