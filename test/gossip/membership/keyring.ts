/** The ring's keys, in memory and in their file. */
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  generatedKey,
  KEYS_MOST,
  Keyring,
  keyOf,
  keyText,
  loadKeyring,
  writeKeyringFile,
} from '../../../src/gossip/keyring.ts'

const key = (n: number, size = 32): Uint8Array => new Uint8Array(size).fill(n)

t.test('keys are 16, 24 or 32 octets in base64', async t => {
  for (const size of [16, 24, 32]) t.same(keyOf(keyText(key(1, size))), Buffer.from(key(1, size)))
  for (const text of [
    '',
    'x',
    keyText(key(1, 17)),
    `${keyText(key(1))}=`,
    `${keyText(key(1))} `,
    'é'.repeat(22),
  ])
    t.equal(keyOf(text), undefined)
  t.equal(keyOf(generatedKey())?.length, 32)
  t.not(generatedKey(), generatedKey())
})

t.test('the first key is in use, and changes are what they say', async t => {
  const saved: (readonly string[])[] = []
  const ring = new Keyring([key(1)], keys => saved.push(keys))
  t.equal(ring.install(key(2)), undefined)
  t.equal(ring.install(key(2)), undefined, 'again is no error')
  t.same(ring.primary, key(1))
  t.match(ring.use(key(3)), /not in the keyring/)
  t.equal(ring.use(key(2)), undefined)
  t.same(ring.list(), [keyText(key(2)), keyText(key(1))])
  t.match(ring.remove(key(2)), /primary/)
  t.equal(ring.remove(key(1)), undefined)
  t.equal(ring.remove(key(1)), undefined)
  t.match(ring.install(key(1, 5)), /16, 24 or 32/)
  t.same(saved, [
    [keyText(key(1)), keyText(key(2))],
    [keyText(key(2)), keyText(key(1))],
    [keyText(key(2))],
  ])
  for (let i = 10; i < 10 + KEYS_MOST - 1; i++) t.equal(ring.install(key(i)), undefined)
  t.match(ring.install(key(99)), /full/)
  t.throws(() => new Keyring([]), { code: 'EDATA' })
  t.throws(() => new Keyring([key(1, 3)]), { code: 'EDATA' })
})

t.test('a change that cannot be saved is refused and not made', async t => {
  const ring = new Keyring([key(1)], () => {
    throw new Error('disk full')
  })
  t.equal(ring.install(key(2)), 'disk full')
  t.same(ring.keys, [key(1)])
})

t.test('nonces are a prefix of the process and a counter, and never return', async t => {
  let draws = 0
  const ring = new Keyring([key(1)], undefined, n => new Uint8Array(n).fill(++draws))
  const seen = new Set(
    Array.from({ length: 1_000 }, () => Buffer.from(ring.nonce()).toString('hex')),
  )
  t.equal(seen.size, 1_000)
  t.equal(draws, 1)
  t.equal(Buffer.from(ring.nonce()).toString('hex'), '0101010101010101000003e8')
  ring.install(key(2))
  ring.nonce()
  t.equal(draws, 2, 'a change of keys draws a new prefix')
})

t.test('the file is a list of base64 keys, for its owner only', async t => {
  const dir = t.testdir()
  const file = join(dir, 'keyring.json')
  writeKeyringFile(file, [keyText(key(1)), keyText(key(2, 16))])
  t.equal(statSync(file).mode & 0o777, 0o600)
  const ring = loadKeyring(file)
  t.same(ring.list(), [keyText(key(1)), keyText(key(2, 16))])
  t.equal(ring.use(key(2, 16)), undefined)
  t.same(JSON.parse(readFileSync(file, 'utf8')), [keyText(key(2, 16)), keyText(key(1))])
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.same(loadKeyring(file).primary, Buffer.from(key(2, 16)))
})

t.test('files that are open to others, or no keyrings, are refused with the reason', async t => {
  const dir = t.testdir({
    empty: '[]',
    text: 'x',
    object: '{}',
    short: '["AAAA"]',
    good: JSON.stringify([keyText(key(1))]),
  })
  for (const name of ['empty', 'text', 'object', 'short', 'good']) chmodSync(join(dir, name), 0o600)
  for (const mode of [0o640, 0o604, 0o660, 0o644]) {
    chmodSync(join(dir, 'good'), mode)
    t.throws(() => loadKeyring(join(dir, 'good')), { code: 'EDATA', message: /open to others/ })
  }
  chmodSync(join(dir, 'good'), 0o400)
  t.equal(loadKeyring(join(dir, 'good')).keys.length, 1)
  for (const name of ['empty', 'object', 'short'])
    t.throws(() => loadKeyring(join(dir, name)), { code: 'EDATA', message: /must be a list/ })
  t.throws(() => loadKeyring(join(dir, 'text')), { code: 'EDATA', message: /no JSON/ })
  t.throws(() => loadKeyring(join(dir, 'none')), { code: 'EDATA', message: /cannot read/ })
  mkdirSync(join(dir, 'directory'))
  t.throws(() => loadKeyring(join(dir, 'directory')), { code: 'EDATA' })
  writeFileSync(join(dir, 'huge'), Buffer.alloc(20_000, 32), { mode: 0o600 })
  t.throws(() => loadKeyring(join(dir, 'huge')), { code: 'EDATA', message: /no keyring/ })
  symlinkSync(join(dir, 'good'), join(dir, 'link'))
  t.equal(loadKeyring(join(dir, 'link')).keys.length, 1)
  t.throws(() => writeKeyringFile(join(dir, 'no', 'where'), []), { code: 'EDATA' })
})
