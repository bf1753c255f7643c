/**
 * The questions under way on one socket by ID. Not a Map, for the same reason as in data/forward/flights.ts: V8 would
 * keep ended questions alive.
 */
const CHAINS = 64

/** A question under way. The table uses `next`. */
export type Waiting<T> = { readonly id: number; next: T | undefined }

export class Pending<Ticket extends Waiting<Ticket>> {
  /** Chains with the newest first. */
  readonly #chains = new Array<Ticket | undefined>(CHAINS).fill(undefined)

  get(id: number): Ticket | undefined {
    let ticket = this.#chains[id % CHAINS]
    while (ticket && ticket.id !== id) ticket = ticket.next
    return ticket
  }

  /** Adds a ticket with an unused ID. */
  add(ticket: Ticket): void {
    ticket.next = this.#chains[ticket.id % CHAINS]
    this.#chains[ticket.id % CHAINS] = ticket
  }

  /** Removes a ticket, if it is in the table. */
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

  /** All tickets, in a new array. */
  all(): Ticket[] {
    const all: Ticket[] = []
    for (let ticket of this.#chains as readonly (Ticket | undefined)[])
      for (; ticket; ticket = ticket.next) all.push(ticket)
    return all
  }
}
