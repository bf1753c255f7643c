/** Dispatches each message by its type, from packets and from streams. */
import type { Serf } from '../serf/serf.ts'
import type { Endpoint } from '../wire/address.ts'
import {
  readAccusation,
  readAck,
  readError,
  readPing,
  readState,
  writeAck,
} from '../wire/messages.ts'
import { Reader } from '../wire/msgpack.ts'
import { TYPE } from '../wire/types.ts'
import type { RecordsTransport } from './records-transport.ts'
import type { Env } from './env.ts'
import type { Post } from './post.ts'
import type { Prober } from './probe.ts'
import type { Swim } from './swim.ts'
import type { Syncs } from './syncs.ts'

/** The receivers of messages. */
export type Recipients = {
  readonly swim: Swim
  readonly prober: Prober
  readonly serf: Serf
  readonly transport: RecordsTransport
  readonly syncs: Syncs
  readonly post: Post
  /** Writes to a stream that a peer opened, and ends it. */
  readonly end: (id: number, bytes: Uint8Array) => void
  readonly close: (id: number) => void
}

export class Inbox {
  readonly #env: Env
  readonly #to: Recipients
  #sender = ''

  constructor(env: Env, to: Recipients) {
    this.#env = env
    this.#to = to
  }

  /** Handles all messages of one packet. */
  packet(messages: readonly Uint8Array[], from: Endpoint): void {
    // a digest belongs to the sender of the ping or ack in the same packet
    this.#sender = ''
    for (const message of messages) {
      if (!this.#message(message[0] ?? 0, message.subarray(1), from)) this.#env.stats.malformed++
    }
  }

  /** Handles one message; false if it is malformed. */
  #message(type: number, body: Uint8Array, from: Endpoint): boolean {
    const { swim, prober } = this.#to
    switch (type) {
      case TYPE.ping: {
        const ping = readPing(body)
        if (ping) prober.pinged(ping, from)
        this.#sender = ping?.source.name ?? ''
        return ping !== undefined
      }
      case TYPE.indirectPing: {
        const ask = readPing(body)
        if (ask) prober.asked(ask, from)
        return ask !== undefined
      }
      case TYPE.ack: {
        const ack = readAck(body)
        if (ack) this.#sender = prober.acked(ack.seq)
        return ack !== undefined
      }
      case TYPE.nack: {
        const nack = readAck(body)
        if (nack) prober.nacked(nack.seq)
        return nack !== undefined
      }
      case TYPE.suspect:
      case TYPE.dead: {
        const accusation = readAccusation(body)
        if (accusation) swim[type === TYPE.dead ? 'dead' : 'suspect'](accusation)
        return accusation !== undefined
      }
      case TYPE.alive: {
        const alive = readState(new Reader(body))
        if (alive) swim.alive(alive, 'news')
        return alive !== undefined
      }
      case TYPE.user:
        return this.#user(body)
    }
    return false
  }

  /** User messages from 0x80 on are ours; those below are Serf's. */
  #user(body: Uint8Array): boolean {
    const { serf, transport, syncs } = this.#to
    if ((body[0] ?? 0) < 0x80) return serf.message(body)
    return transport.message(body, this.#sender, (node, table) => syncs.onTable(node, table))
  }

  /** Handles a complete message on a stream that a peer opened. */
  stream(id: number, from: Endpoint, message: Buffer): void {
    const body = message.subarray(1)
    switch (message[0]) {
      case TYPE.pushPull:
        this.#to.syncs.answer(id, message)
        return
      case TYPE.ping: {
        const ping = readPing(body)
        if (ping && (ping.node === '' || ping.node === this.#env.name)) {
          this.#to.end(id, this.#to.post.frame([writeAck(ping.seq)]))
          return
        }
        break
      }
      case TYPE.user: {
        const response = this.#to.transport.request(message)
        if (response) {
          this.#to.end(id, this.#to.post.frame([response]))
          return
        }
        break
      }
      case TYPE.error:
        this.#env.log.debug('peer reports an error', { peer: from.address, error: readError(body) })
    }
    this.#to.close(id)
  }
}
