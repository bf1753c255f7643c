/** The writer's side of Frame Streams, event by event. */
import t from 'tap'
import { FrameStream, type StreamEffect } from '../../../src/ops/dnstap/frame-streams.ts'
import { mutate } from '../../fixture/mutate.ts'
import { seeded, seedOr } from '../../fixture/random.ts'

const hex32 = (value: number): string => value.toString(16).padStart(8, '0')
/** A control frame as hex; `fields` are types and contents. */
const frame = (
  type: number,
  ...fields: readonly (readonly [type: number, content: string])[]
): string => {
  const payload = fields.map(
    ([of, content]) => hex32(of) + hex32(content.length) + Buffer.from(content).toString('hex'),
  )
  const whole = hex32(type) + payload.join('')
  return hex32(0) + hex32(whole.length / 2) + whole
}
const TYPE = [1, 'protobuf:dnstap.Dnstap'] as const
// Once written out, to check `frame` itself: 0 for a control frame, its length, the type READY (4), then one field: its
// number, its length and the content type as text.
const READY = `00000000${'00000022'}${'00000004'}${'00000001'}${'00000016'}${'70726f746f6275663a646e737461702e446e73746170'}`
const ACCEPT = frame(1, TYPE)
const START = frame(2, TYPE)
const STOP = frame(3)
const FINISH = frame(5)
/** A type of a later version, with a field that we do not know. */
const LATER = frame(99, [9, 'more'])

/** '>' with what is sent, 'open', or '!' with the reason of the end. */
const show = (effect: StreamEffect): string =>
  effect.type === 'send'
    ? `>${effect.octets.toString('hex')}`
    : effect.type === 'open'
      ? 'open'
      : `!${effect.why}`
const run = (events: readonly string[], stream = new FrameStream()): string[] =>
  events.flatMap(event =>
    stream
      .step(
        event === 'connected' || event === 'stop'
          ? { type: event }
          : { type: 'received', octets: Buffer.from(event, 'hex') },
      )
      .map(show),
  )

const wrong = (what: string): string => `!the reader sent ${what}`
const OPENED = [`>${READY}`, `>${START}`, 'open']
// prettier-ignore
const ROWS: readonly (readonly [what: string, events: readonly string[], effects: readonly string[]])[] = [
  ['a whole stream', ['connected', ACCEPT, 'stop', FINISH], [...OPENED, `>${STOP}`, '!']],
  ['ACCEPT in pieces', ['connected', ACCEPT.slice(0, 6), ACCEPT.slice(6, 20), ACCEPT.slice(20)], OPENED],
  ['ACCEPT among frames of later versions', ['connected', `${LATER}${ACCEPT}${LATER}`, LATER], OPENED],
  ['more frames of later versions than there are', ['connected', LATER.repeat(999), LATER + LATER + ACCEPT], [`>${READY}`, '!the reader sends too many control frames']],
  ['ACCEPT of any type', ['connected', frame(1)], OPENED],
  ['ACCEPT of several types', ['connected', frame(1, [1, 'x'], TYPE)], OPENED],
  ['ACCEPT of another type', ['connected', frame(1, [1, 'x'])], [`>${READY}`, '!the reader does not accept protobuf:dnstap.Dnstap']],
  ['ACCEPT cut off inside', ['connected', '000000000000000d00000001000000010000000278'], [`>${READY}`, wrong('an ACCEPT that cannot be read')]],
  ['ACCEPT with a field of no type', ['connected', frame(1, [2, 'x'])], [`>${READY}`, wrong('an ACCEPT that cannot be read')]],
  ['data', ['connected', '00000001'], [`>${READY}`, wrong('data instead of control frames')]],
  ['text', ['connected', Buffer.from('HTTP/1.1 400').toString('hex')], [`>${READY}`, wrong('data instead of control frames')]],
  ['a frame too long', ['connected', '0000000000000201'], [`>${READY}`, wrong('a control frame of 513 octets')]],
  ['a frame without type', ['connected', '0000000000000003'], [`>${READY}`, wrong('a control frame of 3 octets')]],
  ['START from the reader', ['connected', START], [`>${READY}`, wrong('START at the wrong moment')]],
  ['FINISH before the begin', ['connected', FINISH], [`>${READY}`, wrong('FINISH at the wrong moment')]],
  ['FINISH before STOP', ['connected', ACCEPT, FINISH], [...OPENED, wrong('FINISH at the wrong moment')]],
  ['ACCEPT twice', ['connected', `${ACCEPT}${ACCEPT}`], [...OPENED, wrong('ACCEPT at the wrong moment')]],
  ['ACCEPT after STOP', ['connected', ACCEPT, 'stop', ACCEPT], [...OPENED, `>${STOP}`, wrong('ACCEPT at the wrong moment')]],
  ['stopped before the begin', ['connected', 'stop', ACCEPT], [`>${READY}`, '!']],
  ['stopped before it was connected', ['stop', 'connected'], ['!']],
  ['stopped twice', ['connected', ACCEPT, 'stop', 'stop', FINISH], [...OPENED, `>${STOP}`, '!']],
  ['nothing after the end', ['connected', FINISH, ACCEPT, 'stop', FINISH, 'connected'], [`>${READY}`, wrong('FINISH at the wrong moment')]],
]

for (const [what, events, effects] of ROWS)
  t.test(what, async t => void t.strictSame(run(events), effects))

t.test('whatever a reader sends, the stream opens once at most and ends once at most', async t => {
  const random = seeded(seedOr(1))
  const good = Buffer.from(`${LATER}${ACCEPT}${LATER}${FINISH}`, 'hex')
  for (let n = 0; n < 3000; n++) {
    const stream = new FrameStream()
    const hostile = mutate(random, good)
    const cut = random.int(hostile.length + 1)
    const effects = run(
      [
        'connected',
        hostile.subarray(0, cut).toString('hex'),
        hostile.subarray(cut).toString('hex'),
      ],
      stream,
    )
    const opened = effects.filter(effect => effect === 'open').length
    const ended = effects.filter(effect => effect.startsWith('!')).length
    if (opened > 1 || ended > 1) t.fail(hostile.toString('hex'))
  }
  t.pass('3,000 of them')
})
