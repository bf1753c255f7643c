/** Names and questions that are moved from one suffix to another. */
import t from 'tap'
import { renameBack, renamed, renamedText } from '../../../src/data/answer/suffix.ts'
import { foldedText, MAX_NAME, nameWire } from '../../../src/wire/name.ts'
import { questionOf } from '../../fixture/bench-plane.ts'

t.test('a question is the same one under the other suffix', async t => {
  for (const type of ['A', 'SRV', 'ANY']) {
    const moved = renamed(
      questionOf('Web.a.example', type, true),
      'a.example',
      'longer.example.org',
    )!
    const same = questionOf('Web.longer.example.org', type, true)
    const { wire, questionEnd } = same
    t.same(Buffer.from(moved.wire).subarray(12), Buffer.from(wire).subarray(12, questionEnd))
    t.match(moved, { ...same, wire: moved.wire })
  }
  t.equal(renamed(questionOf('a.example'), 'a.example', 'b')?.name, 'b', 'the zone itself')
})

/** A name of so many octets, with its lengths and the root, below `zone`. */
const ofLength = (octets: number, zone: string): string => {
  let left = octets - nameWire(zone)!.length
  let labels = ''
  for (; left > 65; left -= 64) labels += `${'x'.repeat(63)}.`
  return `${labels}${'y'.repeat(left - 1)}.${zone}`
}

t.test('a name that gets too long has no other suffix', async t => {
  for (const [octets, fits] of [
    [MAX_NAME - 1, true],
    [MAX_NAME, true],
    [MAX_NAME + 1, false],
  ] as const) {
    // One octet more under the other suffix.
    const name = ofLength(octets - 1, 'ab')
    t.equal(renamed(questionOf(name), 'ab', 'abc') !== undefined, fits, `${octets} octets`)
    const wire = Buffer.alloc(MAX_NAME + 8)
    const length = wire.write(nameWire(name)!.toString('latin1'), 'latin1')
    t.equal(renameBack('ab', 'abc')(wire, length), fits ? octets : -1)
  }
})

t.test('names at or below a suffix are moved back, and no others', async t => {
  const rows: [from: string, to: string][] = [
    ['web.short', 'web.other.example'],
    ['WEB.Short', 'web.other.example'],
    ['short', 'other.example'],
    ['a.b.short', 'a.b.other.example'],
    ['webshort', 'webshort'],
    ['short.example', 'short.example'],
    ['web.other', 'web.other'],
    ['t', 't'],
    ['.', '.'],
    // The octets of the suffix, inside of a label.
    ['web\\005short', 'web\\005short'],
  ]
  for (const [from, to] of rows) {
    const wire = Buffer.alloc(MAX_NAME + 8)
    const name = nameWire(from)!
    wire.set(name)
    const length = renameBack('short', 'other.example')(wire, name.length)
    t.equal(foldedText(wire), foldedText(nameWire(to)!), from)
    t.equal(length, nameWire(to)!.length, from)
  }
  t.equal(renamedText('web.short', 'short', 'other.example'), 'web.other.example')
  t.equal(renamedText('short', 'short', 'other.example'), 'other.example')
})
