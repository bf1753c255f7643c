/**
 * The questions that one socket has under way, by ID. Not a Map, for the
 * reason that flights.ts gives; a socket asks 64 questions in its life.
 */
const CHAINS = 64

/** A question under way. `next` is the table's own. */
export type Waiting<T> = { readonly id: number; next: T | undefined }

export class Pending<Ticket extends Waiting<Ticket>> {
  /** Each the newest first. */
  readonly #chains = new Array<Ticket | undefined>(CHAINS).fill(undefined)

  get(id: number): Ticket | undefined {
    let ticket = this.#chains[id % CHAINS]
    while (ticket && ticket.id !== id) ticket = ticket.next
    return ticket
  }

  /** Adds a ticket whose ID is not there yet. */
  add(ticket: Ticket): void {
    ticket.next = this.#chains[ticket.id % CHAINS]
    this.#chains[ticket.id % CHAINS] = ticket
  }

  /** Takes a ticket out, if it is in. */
  delete(ticket: Ticket): void {
    const chain = ticket.id % CHAINS
    let before = this.#chains[chain]
    if (before === ticket) this.#chains[chain] = ticket.next
    else {
      while (before && before.next !== ticket) before = before.next
      if (before) before.next = ticket.next
    }
    ticket.next = undefined
  }

  /** All of them, in an array of their own. */
  all(): Ticket[] {
    const all: Ticket[] = []
    for (let ticket of this.#chains as readonly (Ticket | undefined)[])
      for (; ticket; ticket = ticket.next) all.push(ticket)
    return all
  }
}
