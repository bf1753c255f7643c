/** The local zones, and the source that last changed each of them, for the status. */
import type { ZoneChange, ZoneMap } from '../../boundary/zone.ts'
import type { ZonePublisher } from './zone-publisher.ts'

export type ZoneSource = { readonly apex: string; readonly at: number; readonly source: string }

export class ZoneBoard {
  readonly publisher: ZonePublisher
  readonly #sources = new Map<string, ZoneSource>()

  constructor(publisher: ZonePublisher) {
    this.publisher = publisher
  }

  /** Replaces a zone of this node's own data. */
  put(apex: string, zone: ZoneMap, source = 'built-in'): void {
    this.fed(apex, { kind: 'full', zone }, true, source)
  }

  /** Changes a zone from a source; `loaded` as in ZonePublisher.publish. */
  fed(apex: string, change: ZoneChange, loaded: boolean, source: string): void {
    this.publisher.publish(apex, change, loaded)
    this.#sources.set(apex, { apex, at: Date.now(), source })
  }

  /** Its source is gone: the zone stays, but is empty. */
  empty(apex: string): void {
    this.publisher.publish(apex, { kind: 'full', zone: new Map() })
    this.#sources.delete(apex)
  }

  remove(apex: string): void {
    this.publisher.remove(apex)
    this.#sources.delete(apex)
  }

  sources(): ZoneSource[] {
    return [...this.#sources.values()]
  }
}
