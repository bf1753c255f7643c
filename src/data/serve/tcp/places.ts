/**
 * The places for TCP connections, which all listeners share, and who holds them. One client may hold a quarter of them,
 * so that nobody takes them all.
 */
import type { Client } from '../../../base/ip.ts'

/** A client may hold at least so many. */
const PER_CLIENT_LEAST = 8

export class Places {
  #taken = 0
  readonly #perClient = new Map<Client, number>()

  /** Takes one of `most` places for this client: undefined if it has got one, otherwise the reason why not. */
  take(client: Client, most: number): 'rejected' | 'clientRejected' | undefined {
    if (this.#taken >= most) return 'rejected'
    const held = this.#perClient.get(client) ?? 0
    if (held >= Math.max(PER_CLIENT_LEAST, Math.floor(most / 4))) return 'clientRejected'
    this.#taken++
    this.#perClient.set(client, held + 1)
    return undefined
  }

  /** Returns a place that this client has taken. */
  giveBack(client: Client): void {
    this.#taken--
    const left = this.#perClient.get(client)! - 1
    if (left > 0) this.#perClient.set(client, left)
    else this.#perClient.delete(client)
  }
}
