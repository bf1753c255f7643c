/**
 * ICMP errors for datagrams that we sent (IP_RECVERR, ip(7)). The kernel queues each error with its destination,
 * which distinguishes several upstreams on one socket.
 */
import { CONTROL_LENGTH, HEADER_WORDS, Messages, NAME_LENGTH } from './arena.ts'
import { NAME_BYTES, NAME_WORDS } from './inet.ts'
import { IPV6_RECVERR, IP_RECVERR, MSG_DONTWAIT, MSG_ERRQUEUE, SOL_IP, SOL_IPV6 } from './libc.ts'
import type { Libc } from './libc.ts'

const COUNT = 16
/** cmsghdr (16), sock_extended_err (16), the offender's sockaddr (28), and room to spare. */
const CONTROL_BYTES = 128
/** Limit of calls per drain, so that many errors do not delay the turn; epoll reports the others again. */
const CALLS = 4
/** Offsets of the fields in a cmsghdr: length (8 bytes), level, type, then the data. */
const CMSG_LEVEL = 8
const CMSG_TYPE = 12
const CMSG_DATA = 16

export class ErrorQueue {
  readonly #libc: Libc
  readonly #messages: Messages

  constructor(libc: Libc) {
    this.#libc = libc
    this.#messages = new Messages(libc, {
      headers: COUNT,
      packets: COUNT,
      packetBytes: 64,
      controlBytes: CONTROL_BYTES,
    })
  }

  /**
   * Reads the queued errors of a descriptor and reports each: an errno, and the position of its destination's
   * sockaddr.
   */
  drain(fd: number, report: (errno: number, names: Int32Array, at: number) => void): void {
    const { words, bytes, names, controlAt, base } = this.#messages
    for (let call = 0; call < CALLS; call++) {
      for (let i = 0; i < COUNT; i++) {
        words[i * HEADER_WORDS + NAME_LENGTH] = NAME_BYTES
        words[i * HEADER_WORDS + CONTROL_LENGTH] = CONTROL_BYTES
      }
      const count = this.#libc.recvmmsg(fd, base, COUNT, MSG_ERRQUEUE | MSG_DONTWAIT, 0)
      for (let i = 0; i < count; i++) {
        const end = controlAt[i]! + words[i * HEADER_WORDS + CONTROL_LENGTH]!
        for (let at = controlAt[i]!; at + CMSG_DATA + 4 <= end;) {
          const level = bytes.readInt32LE(at + CMSG_LEVEL)
          const type = bytes.readInt32LE(at + CMSG_TYPE)
          if (
            (level === SOL_IP && type === IP_RECVERR) ||
            (level === SOL_IPV6 && type === IPV6_RECVERR)
          ) {
            report(bytes.readUInt32LE(at + CMSG_DATA), names, i * NAME_WORDS)
            break
          }
          at += Math.max((bytes.readUInt32LE(at) + 7) & ~7, CMSG_DATA)
        }
      }
      if (count < COUNT) return
    }
  }
}
