/**
 * System calls on sockets that Node lacks and the service manager's protocols need: Unix datagrams, and the options
 * of passed descriptors. Bound with koffi on first use, so that everything else works on a machine without koffi.
 */
import { getSystemErrorName } from 'node:util'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const SOL_SOCKET = 1
const F_SETFD = 2
const FD_CLOEXEC = 1

/** Options of SOL_SOCKET in use (Linux, x86-64 and arm64). */
export const SO_TYPE = 3
export const SO_DOMAIN = 39

/** Calls on descriptors. A failure is an errno name, '' for none. */
export interface SocketCalls {
  /** A Unix datagram socket, or -1. */
  unixDatagram(): number
  /** Sends without waiting. `address` is a complete sockaddr_un. */
  sendTo(fd: number, bytes: Uint8Array, address: Uint8Array): string
  /** An integer option of SOL_SOCKET; undefined if the descriptor is not a socket. */
  option(fd: number, name: number): number | undefined
  /** The sockaddr it is bound to; undefined if it is not a socket. */
  boundTo(fd: number): Buffer | undefined
  /** Prevents child processes from inheriting a descriptor. */
  closeOnExec(fd: number): void
}

/** Rejects if koffi has no binary for this machine. */
export const loadSocketCalls = async (): Promise<SocketCalls> => {
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const socket = libc.func('int socket(int domain, int type, int protocol)')
  const sendto = libc.func(
    'intptr_t sendto(int fd, const void *buffer, size_t length, int flags, const void *to, uint32_t size)',
  )
  const getsockopt = libc.func(
    'int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ uint32_t *size)',
  )
  const getsockname = libc.func(
    'int getsockname(int fd, _Out_ uint8_t *name, _Inout_ uint32_t *size)',
  )
  const fcntl = libc.func('int fcntl(int fd, int command, ...)')
  return {
    unixDatagram: () => Number(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
    sendTo: (fd, bytes, address) => {
      const sent = Number(
        sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length),
      )
      return sent < 0 ? getSystemErrorName(-koffi.errno()) : ''
    },
    option: (fd, name) => {
      const value = [0]
      return getsockopt(fd, SOL_SOCKET, name, value, [4]) === 0 ? value[0] : undefined
    },
    boundTo: fd => {
      const name = Buffer.alloc(128) // sockaddr_storage
      const size = [name.length]
      return getsockname(fd, name, size) === 0 ? name.subarray(0, size[0]) : undefined
    },
    closeOnExec: fd => void fcntl(fd, F_SETFD, 'int', FD_CLOEXEC),
  }
}

/**
 * Returns a function that ends the process at once with this status. `process.exit` waits for Node's helper threads,
 * which may hang in a file system call. Without koffi the process kills itself instead.
 */
export const loadExit = async (): Promise<(status: number) => void> => {
  try {
    const { default: koffi } = await import('koffi')
    return koffi.load(null).func('void _exit(int status)') as (status: number) => void
  } catch {
    return () => process.kill(process.pid, 'SIGKILL')
  }
}
