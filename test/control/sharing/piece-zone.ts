/**
 * A zone that was received by gossip can be read in three ways: all owners as objects, one owner by its name, and as the
 * text that is sent to the data thread. All three must agree, and leave out what is not allowed.
 */
import { deflateRawSync } from 'node:zlib'
import t from 'tap'
import { ownersToText } from '../../../src/boundary/zone-text.ts'
import { PieceZone } from '../../../src/control/sharing/piece-zone.ts'
import { hashOf, pieceOf } from '../../../src/control/sharing/zone-piece.ts'
import { fc } from '../../fixture/property.ts'

const APEX = 'dcos.thisdcos.directory'
const LONG = 'x'.repeat(60)
/** A name so long that only the apex makes it longer than a name can be. */
const TOO_LONG = [LONG, LONG, LONG, 'y'.repeat(48)].join('.')
const FITS = [LONG, LONG, LONG, 'y'.repeat(46)].join('.')

const zoneOf = (lines: readonly string[]): PieceZone => {
  const zone = new PieceZone(APEX)
  const pieces = new Map<number, string[]>()
  for (const line of lines) {
    const piece = pieceOf(line.split('\x1f', 1)[0]!)
    pieces.set(piece, [...(pieces.get(piece) ?? []), line])
  }
  for (const [piece, some] of pieces) {
    const bytes = deflateRawSync(some.map(line => `${line}\n`).join(''))
    zone.put(piece, { bytes, hash: hashOf(bytes), names: some.length })
  }
  return zone
}

t.test('what a line may say, and what of it is left out', async t => {
  const rows: [line: string, owner: string][] = [
    ['web|A|5|192.0.2.1', `web.${APEX}|A|5|192.0.2.1`],
    ['@|A|5|192.0.2.1', `${APEX}|A|5|192.0.2.1`],
    ['web|A|5|192.0.2.1|999.1.1.1||2001:db8::1', `web.${APEX}|A|5|192.0.2.1`],
    ['web|AAAA|0|2001:db8::1|2001:DB8::2|192.0.2.1', `web.${APEX}|AAAA|0|2001:db8::1`],
    ['web|A|5|192.0.2.1/AAAA|7|2001:db8::1', `web.${APEX}|A|5|192.0.2.1/AAAA|7|2001:db8::1`],
    ['web|TXT|5|x/A|5|192.0.2.1/A', `web.${APEX}|A|5|192.0.2.1`],
    ['web|A|2147483647|192.0.2.1', `web.${APEX}|A|2147483647|192.0.2.1`],
    ['web|A|1.9|192.0.2.1', `web.${APEX}|A|1|192.0.2.1`],
    ['web|A|2147483648|192.0.2.1', ''],
    ['web|A|-1|192.0.2.1', ''],
    ['web|A|x|192.0.2.1', ''],
    ['web|A|5', ''],
    ['web|A', ''],
    ['web|', ''],
    ['web', ''],
    ['|A|5|192.0.2.1', ''],
    ['a b|A|5|192.0.2.1', ''],
    ['a\\032b|A|5|192.0.2.1', `a\\032b.${APEX}|A|5|192.0.2.1`],
    [`${FITS}|A|5|192.0.2.1`, `${FITS}.${APEX}|A|5|192.0.2.1`],
    [`${TOO_LONG}|A|5|192.0.2.1`, ''],
    ['_a._tcp|SRV|5|0 1 80 in', `_a._tcp.${APEX}|SRV|5|0 1 80 in.${APEX}`],
    ['_a._tcp|SRV|5|0 1 80 out.example.', `_a._tcp.${APEX}|SRV|5|0 1 80 out.example`],
    ['_a._tcp|SRV|5|65535 0 65535 in', `_a._tcp.${APEX}|SRV|5|65535 0 65535 in.${APEX}`],
    [`_a._tcp|SRV|5|0 1 80 ${TOO_LONG}`, ''],
    [
      '_a._tcp|SRV|5|0 1 65536 in|0 1 000080 in|0 1 in|0  1 80 in|0 1 80 |0 1 80 .|0 1 80 b d|0 1 80',
      '',
    ],
  ]
  const raw = (text: string): string => text.replaceAll('|', '\x1f').replaceAll('/', '\x1e')
  for (const [line, owner] of rows) {
    const zone = zoneOf([raw(line)])
    const text = owner === '' ? '' : `${raw(owner)}\n`
    t.equal([...zone.lines()].join(''), text, line)
    t.equal(ownersToText(zone), text, `${line}, read as objects`)
    const [name = ''] = raw(line).split('\x1f', 1)
    const found = zone.get(name === '@' ? APEX : `${name}.${APEX}`)
    t.equal(found !== undefined, owner !== '', `${line}, looked up`)
  }
})

t.test('as text it is what its owners are', async () => {
  const word = fc.constantFrom(
    'a',
    'web',
    '_tcp',
    '@',
    '',
    'a.b',
    'ü',
    '5',
    '0 1 80 a',
    '192.0.2.1',
  )
  const mark = fc.constantFrom('\x1f', '\x1e', '\n', '.', ' ', '\x1fA\x1f5\x1f', '\x1fSRV\x1f5\x1f')
  fc.assert(
    fc.property(fc.array(fc.tuple(word, mark), { maxLength: 60 }), parts => {
      const text = parts.flat().join('')
      // Each name once: of two lines of a name the data thread keeps the second, too, but here both would be seen.
      const lines = new Map(text.split('\n').map(line => [line.split('\x1f', 1)[0]!, line]))
      const zone = zoneOf([...lines.values()])
      return [...zone.lines()].join('') === ownersToText(zone)
    }),
  )
})
