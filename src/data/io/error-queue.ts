/**
 * What ICMP said about datagrams we sent (IP_RECVERR, ip(7)): the kernel
 * queues each error with the destination it concerns, which is how a closed
 * port of one upstream is known from another's on the same socket.
 */
import { CONTROL_LENGTH, HEADER_WORDS, Messages, NAME_LENGTH } from './arena.ts'
import { NAME_BYTES, NAME_WORDS } from './inet.ts'
import { IPV6_RECVERR, IP_RECVERR, MSG_DONTWAIT, MSG_ERRQUEUE, SOL_IP, SOL_IPV6 } from './libc.ts'
import type { Libc } from './libc.ts'

const COUNT = 16
/** cmsghdr (16), sock_extended_err (16), the offender's sockaddr (28), and room to spare. */
const CONTROL_BYTES = 128
/** Calls per drain: a flood of errors must not hold up the turn; epoll reports the rest again. */
const CALLS = 4
/** Where a cmsghdr keeps its fields: length (8 bytes), level, type, then the data. */
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

  /** Takes the queued errors of a descriptor and reports each: an errno, and where its destination's sockaddr lies. */
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
