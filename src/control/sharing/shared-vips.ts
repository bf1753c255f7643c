/**
 * The VIPs of all nodes in the gossip. Each value is decoded once, so a change only costs the decoding of what
 * changed.
 */
import type { Entry, Key } from '../../gossip/records/types.ts'
import { decodeVip } from './shared-codec.ts'
import type { VipRecord } from '../../vip/record.ts'
import type { OwnerVips } from '../../vip/table.ts'

/** The part of the gossip's records that this file reads. */
export interface SharedVipRecords {
  entries(kind: Key['kind']): Iterable<Entry>
  lookup(key: Key): readonly Entry[]
}

type Said = { readonly owner: string; readonly vip: VipRecord }

export class SharedVips {
  readonly #records: SharedVipRecords
  /** The decoded values of each key that has any. */
  readonly #said = new Map<string, readonly Said[]>()
  /** Keys that have changed since the last `owners`. */
  readonly #changed = new Set<string>()

  constructor(records: SharedVipRecords) {
    this.#records = records
  }

  /** Marks a key as changed; it is read at the next `owners`. */
  changed(name: string): void {
    this.#changed.add(name)
  }

  /** Marks every key as changed. */
  allChanged(): void {
    for (const name of this.#said.keys()) this.#changed.add(name)
    for (const { name } of this.#records.entries('vip')) this.#changed.add(name)
  }

  /** The VIPs of every node, by owner. */
  owners(): OwnerVips[] {
    for (const name of this.#changed) this.#lookUp(name)
    this.#changed.clear()
    const byOwner = new Map<string, VipRecord[]>()
    for (const all of this.#said.values()) {
      for (const { owner, vip } of all) {
        const of = byOwner.get(owner)
        if (of) of.push(vip)
        else byOwner.set(owner, [vip])
      }
    }
    return Array.from(byOwner, ([owner, records]) => ({ owner, records }))
  }

  #lookUp(name: string): void {
    const said = this.#records.lookup({ kind: 'vip', name }).flatMap(({ owner, value }) => {
      const vip = decodeVip(value)
      return vip ? [{ owner, vip }] : []
    })
    if (said.length > 0) this.#said.set(name, said)
    else this.#said.delete(name)
  }
}
