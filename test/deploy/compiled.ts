/** What compile.js makes in an installed spartan: it is used when spartan starts, and nothing that is wrong with it stops a start. */
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { daemon } from '../fixture/daemon.ts'
import { makePackage, outside } from '../fixture/package.ts'

/** The home of an installed spartan, compiled. */
const installed = (t: Test): string => {
  const tree = t.testdir()
  t.match(makePackage('--tree', tree), { status: 0, stderr: '' })
  const home = join(tree, 'usr/lib/spartan')
  t.match(compile(home), { status: 0, stdout: '', stderr: '' })
  return home
}

/** The options of deploy/spartan.sh; V8 takes code only under those that it was compiled with. */
const NODE = [process.execPath, '--single-threaded-gc'] as const
const compile = (home: string) => outside(...NODE, join(home, 'dist/compile.js'))
const version = (home: string) => outside(...NODE, join(home, 'dist/program/main.js'), '--version')

/** The one folder of compiled code. */
const codeOf = (home: string): string => {
  const [folder = '', ...more] = readdirSync(join(home, 'compiled'))
  t.strictSame(more, [], 'code of one Node')
  return join(home, 'compiled', folder)
}

/** A script for `--require`: each thread notes what V8 says about the code of each file. */
const spy = (
  folder: string,
): { readonly path: string; readonly notes: () => Map<string, string> } => {
  const [path, log] = [join(folder, 'spy.cjs'), join(folder, 'log')]
  writeFileSync(log, '')
  writeFileSync(
    path,
    `const vm = require('node:vm'), fs = require('node:fs'), { basename } = require('node:path')
    vm.Script = class extends vm.Script {
      constructor(source, options) {
        super(source, options)
        const code = !options.cachedData ? 'none' : this.cachedDataRejected ? 'refused' : 'used'
        fs.appendFileSync(${JSON.stringify(log)}, basename(options.filename) + ' ' + code + '\\n')
      }
    }`,
  )
  const notes = () => {
    const lines = readFileSync(log, 'utf8').split('\n').filter(Boolean)
    return new Map(lines.map(line => line.split(' ') as [string, string]))
  }
  return { path, notes }
}

t.test('a start compiles nothing of its own, in no thread', async t => {
  const home = installed(t)
  const { path, notes } = spy(home)
  const program = [...NODE, '--require', path, join(home, 'dist/program/main.js')] as const
  const spartan = await daemon(t, {}, { program: [...program], patience: 200_000 })
  await spartan.page('/metrics')
  const page = await spartan.page('/')
  t.match(page, '–')
  t.notMatch(page, 'â', 'UTF-8 is read as that')
  const seen = notes()
  for (const name of ['main.js', 'aside-thread.js', 'thread.js'])
    t.equal(seen.get(name), 'used', name)
  t.ok([...seen.keys()].some(name => name.startsWith('run-')))
  // prom-client is loaded when the daemon is ready and has settings of its own.
  const others = [...seen].filter(
    ([name, code]) => code !== 'used' && !name.startsWith('prom-client'),
  )
  t.strictSame(others, [])
})

t.test('code that cannot be used is not', async t => {
  const home = installed(t)
  const folder = codeOf(home)
  const whole = `${home}/whole`
  cpSync(folder, whole, { recursive: true })
  const each = (change: (code: Buffer) => Buffer) => (): void => {
    for (const name of readdirSync(folder))
      writeFileSync(join(folder, name), change(readFileSync(join(folder, name))))
  }
  const flipped = (at: (code: Buffer) => number) =>
    each(code => {
      const i = at(code)
      code[i] = code[i]! ^ 0x10
      return code
    })
  const damages: readonly [what: string, damage: () => void][] = [
    ['one octet', flipped(code => code.length >> 1)],
    ['the header', flipped(() => 9)],
    ['the checksum', flipped(code => code.length - 1)],
    ['cut', each(code => code.subarray(0, code.length >> 1))],
    ['four octets', each(code => code.subarray(0, 4))],
    ['empty', each(() => Buffer.alloc(0))],
    ['zeros', each(code => code.fill(0))],
    ['half zeros', each(code => code.fill(0, 0, code.length >> 1))],
    ['of another file', () => cpSync(join(folder, 'thread.js'), join(folder, 'main.js'))],
    ['of another Node', () => renameSync(folder, `${folder}0`)],
    ['none', () => rmSync(join(home, 'compiled'), { recursive: true })],
    [
      'files in place of folders',
      () => (rmSync(folder, { recursive: true }), writeFileSync(folder, '')),
    ],
  ]
  for (const [what, damage] of damages) {
    rmSync(join(home, 'compiled'), { recursive: true, force: true })
    cpSync(whole, folder, { recursive: true })
    damage()
    const { path, notes } = spy(home)
    const main = join(home, 'dist/program/main.js')
    const { status, stdout, stderr } = outside(...NODE, '--require', path, main, '--version')
    t.strictSame([status, stdout, stderr], [0, version(home).stdout, ''], what)
    t.equal(notes().get('main.js'), 'none', what)
  }
})

t.test('code of an older file is not used, though that file was as long', async t => {
  const home = installed(t)
  const file = join(home, 'dist/bundle/main.js')
  const source = readFileSync(file, 'utf8')
  const other = source.replace('standard input is too long', 'standard input is TOO LONG')
  t.not(other, source)
  writeFileSync(file, other)
  const code = `const { scriptOf, compiledHere } = require(${JSON.stringify(join(home, 'dist/load.js'))})
    process.stdout.write(String(scriptOf('main.js', compiledHere()).cachedDataRejected))`
  t.equal(outside(...NODE, '-e', code).stdout, 'undefined')
})

t.test('compiled again, only the code of this Node is left', async t => {
  const home = installed(t)
  const folder = codeOf(home)
  const build = `${process.version}-${process.arch}-${statSync(process.execPath).size}`
  t.equal(basename(folder), build, 'distributions build one version several times')
  renameSync(folder, `${folder}0`)
  t.match(compile(home), { status: 0 })
  t.equal(codeOf(home), folder)
  t.strictSame(readdirSync(folder), readdirSync(join(home, 'dist/bundle')))
  const readable = spawnSync('find', [join(home, 'compiled'), '-not', '-perm', '-004'], {
    encoding: 'utf8',
  })
  t.equal(readable.stdout, '', 'the daemon can read all of it')
})

t.test('a compiler that fails leaves nothing behind', async t => {
  const home = installed(t)
  appendFileSync(join(home, 'dist/bundle/main.js'), '{')
  const { status, stderr } = compile(home)
  t.not(status, 0)
  t.match(stderr, 'SyntaxError')
  t.notOk(readdirSync(home).includes('compiled'))
})
