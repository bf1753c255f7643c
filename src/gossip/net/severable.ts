/** A network that can be cut off for a drill: while it is, nothing leaves and nothing arrives, as behind a firewall. */
import type { Body, BodyEvents, BodyStats, Endpoint } from './body.ts'

export class Severable implements Body {
  /** Whether it is cut off. */
  severed = false
  readonly #body: Body

  constructor(body: Body) {
    this.#body = body
  }

  get stats(): BodyStats {
    return this.#body.stats
  }

  open(at: Endpoint, events: BodyEvents): Promise<Endpoint> {
    return this.#body.open(at, {
      packet: (bytes, from) => {
        if (!this.severed) events.packet(bytes, from)
      },
      accepted: (id, from) => {
        if (this.severed) this.#body.drop(id)
        else events.accepted(id, from)
      },
      data: (id, bytes) => {
        if (!this.severed) events.data(id, bytes)
      },
      ended: id => events.ended(id),
      failed: id => events.failed(id),
    })
  }

  send(to: Endpoint, bytes: Uint8Array): void {
    if (!this.severed) this.#body.send(to, bytes)
  }

  /** While it is cut off, the stream never opens; the caller's own deadline ends the wait. */
  connect(id: number, to: Endpoint, bytes: Uint8Array): void {
    if (!this.severed) this.#body.connect(id, to, bytes)
  }

  end(id: number, bytes: Uint8Array): void {
    if (this.severed) this.#body.drop(id)
    else this.#body.end(id, bytes)
  }

  drop(id: number): void {
    this.#body.drop(id)
  }

  close(): Promise<void> {
    return this.#body.close()
  }
}
