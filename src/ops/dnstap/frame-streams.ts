/**
 * Frame Streams, the transport of dnstap, from the side of the writer in its bidirectional form: events in, effects
 * out, without socket or clock.
 *
 *     writer   READY ▶           START ▶  data frames ▶  STOP ▶
 *     reader           ◀ ACCEPT                                  ◀ FINISH
 *
 *     data frame      u32 length (not 0), octets
 *     control frame   u32 0, u32 length, u32 type, fields: u32 1, u32 length, a content type
 *
 * Control frames of other types are ignored, as the protocol asks for, unless there are very many.
 */

export const CONTENT_TYPE = Buffer.from('protobuf:dnstap.Dnstap')

const TYPES = ['', 'ACCEPT', 'START', 'STOP', 'READY', 'FINISH'] as const
type Control = Exclude<(typeof TYPES)[number], ''>

const CONTENT_TYPE_FIELD = 1
/** The protocol's limit for the length of a control frame, from its type on. */
const LONGEST_CONTROL = 512
/** Control frames of other types in one stream; there are none yet. */
const MOST_IGNORED = 1000

export type StreamEvent =
  | { readonly type: 'connected' }
  | { readonly type: 'received'; readonly octets: Buffer }
  /** We end the stream. */
  | { readonly type: 'stop' }

export type StreamEffect =
  | { readonly type: 'send'; readonly octets: Buffer }
  /** Data frames may be sent from now on. */
  | { readonly type: 'open' }
  /** The connection must be closed; `why` is '' if the stream ended as agreed. */
  | { readonly type: 'close'; readonly why: string }

/** The four octets before the octets of a data frame. */
export const frameHead = (length: number): Buffer => {
  const head = Buffer.allocUnsafe(4)
  head.writeUInt32BE(length)
  return head
}

export const control = (type: Control, ...contentTypes: readonly Buffer[]): Buffer => {
  const fields = contentTypes.flatMap(text => [
    frameHead(CONTENT_TYPE_FIELD),
    frameHead(text.length),
    text,
  ])
  const payload = Buffer.concat([frameHead(TYPES.indexOf(type)), ...fields])
  return Buffer.concat([frameHead(0), frameHead(payload.length), payload])
}

export class FrameStream {
  #state: 'new' | 'ready' | 'open' | 'stopping' | 'closed' = 'new'
  /** The beginning of a control frame whose rest has not come yet: less than 8 + LONGEST_CONTROL octets. */
  #held = Buffer.alloc(0)
  #ignored = 0

  step(event: StreamEvent): StreamEffect[] {
    switch (event.type) {
      case 'connected':
        if (this.#state !== 'new') return []
        this.#state = 'ready'
        return [{ type: 'send', octets: control('READY', CONTENT_TYPE) }]
      case 'received':
        return this.#received(event.octets)
      case 'stop':
        if (this.#state !== 'open') return this.#close('')
        this.#state = 'stopping'
        return [{ type: 'send', octets: control('STOP') }]
    }
  }

  #close(why: string): StreamEffect[] {
    if (this.#state === 'closed') return []
    this.#state = 'closed'
    this.#held = Buffer.alloc(0)
    return [{ type: 'close', why }]
  }

  #received(octets: Buffer): StreamEffect[] {
    let rest = this.#held.length > 0 ? Buffer.concat([this.#held, octets]) : octets
    const effects: StreamEffect[] = []
    while (this.#state !== 'closed' && rest.length >= 4) {
      if (rest.readUInt32BE(0) !== 0) {
        effects.push(...this.#close('the reader sent data instead of control frames'))
        break
      }
      if (rest.length < 8) break
      const length = rest.readUInt32BE(4)
      if (length < 4 || length > LONGEST_CONTROL) {
        effects.push(...this.#close(`the reader sent a control frame of ${length} octets`))
        break
      }
      if (rest.length < 8 + length) break
      effects.push(...this.#control(rest.subarray(8, 8 + length)))
      rest = rest.subarray(8 + length)
    }
    // A copy: the socket's buffer is larger, and not ours to keep.
    this.#held = this.#state === 'closed' ? Buffer.alloc(0) : Buffer.from(rest)
    return effects
  }

  /** A whole control frame, from its type on. */
  #control(payload: Buffer): StreamEffect[] {
    const type = TYPES[payload.readUInt32BE(0)] ?? ''
    if (type === '')
      return ++this.#ignored > MOST_IGNORED
        ? this.#close('the reader sends too many control frames')
        : []
    if (this.#state === 'ready' && type === 'ACCEPT') {
      const accepted = contentTypes(payload)
      if (!accepted) return this.#close('the reader sent an ACCEPT that cannot be read')
      // Without any, the reader takes all.
      if (accepted.length > 0 && !accepted.some(text => text.equals(CONTENT_TYPE)))
        return this.#close(`the reader does not accept ${CONTENT_TYPE.toString()}`)
      this.#state = 'open'
      return [{ type: 'send', octets: control('START', CONTENT_TYPE) }, { type: 'open' }]
    }
    if (this.#state === 'stopping' && type === 'FINISH') return this.#close('')
    return this.#close(`the reader sent ${type} at the wrong moment`)
  }
}

/** The content types in a control frame, or undefined if its fields cannot be read. */
const contentTypes = (payload: Buffer): Buffer[] | undefined => {
  const found: Buffer[] = []
  for (let at = 4; at < payload.length;) {
    if (at + 8 > payload.length || payload.readUInt32BE(at) !== CONTENT_TYPE_FIELD) return undefined
    const end = at + 8 + payload.readUInt32BE(at + 4)
    if (end > payload.length) return undefined
    found.push(payload.subarray(at + 8, end))
    at = end
  }
  return found
}
