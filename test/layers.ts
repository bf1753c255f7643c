/**
 * Imports follow the table in src/README.md: they point down, and never form a circle. Files are short, or say why
 * not, and name only files that exist.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

const root = new URL('../src', import.meta.url).pathname
const map = readFileSync(join(root, 'README.md'), 'utf8')

/** The folders from top to bottom, each with the packages it may import. */
const LAYERS = map
  .slice(map.indexOf('<!-- layers -->'), map.indexOf('<!-- /layers -->'))
  .split('\n')
  .filter(line => line.startsWith('| `'))
  .map(line => {
    const [, folder = '', , packages = ''] = line.split('|').map(cell => cell.trim())
    return { folder: folder.replace(/[`/]/g, ''), packages: packages.split(', ').filter(Boolean) }
  })

/** For some packages, the only file that may import them; others are only restricted by the table. */
const HOMES: Readonly<Record<string, RegExp>> = {
  'dns-packet': /^data\/answer\/message\.ts$/,
  'lru-cache': /^data\/cache\/packet-cache\.ts$/,
  undici: /^http\/(client|undici)\.ts$/,
  koffi: /^(data\/io\/libc|ops\/socket-calls)\.ts$/,
  pino: /^base\/journal\.ts$/,
}

const files = readdirSync(root, { recursive: true })
  .map(String)
  .filter(file => file.endsWith('.ts'))
const IMPORT = /(?:^(?:import|export)\b[^;'"]*?\bfrom |^import |\bimport\()\s*'([^']+)'/gm
const packageOf = (from: string): string => from.split('/')[0]!
const importsOf = (file: string): string[] =>
  [...readFileSync(join(root, file), 'utf8').matchAll(IMPORT)].map(m => m[1]!)
/** File → files of ours that it imports. */
const graph = new Map(
  files.map(file => [
    file,
    importsOf(file)
      .filter(from => from.startsWith('.'))
      .map(from => normalize(join(dirname(file), from))),
  ]),
)
const layerOf = (file: string): number =>
  LAYERS.findIndex(({ folder }) => folder === file.split('/')[0])

t.test('src has one loose file, and every folder is in the table', async t => {
  t.strictSame(
    files.filter(file => !file.includes('/')),
    ['main.ts'],
  )
  t.ok(LAYERS.length > 10)
  for (const file of files) t.ok(layerOf(file) >= 0, file)
})

t.test('no import points up', async t => {
  let seen = 0
  for (const [file, targets] of graph) {
    for (const target of targets) {
      seen++
      if (!graph.has(target)) t.fail(`${file} imports ${target}, which there is not`)
      if (layerOf(target) < layerOf(file)) t.fail(`${file} imports ${target}`)
    }
  }
  t.ok(seen > graph.size)
})

t.test('no files import each other in a circle', async t => {
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const at = path.indexOf(file)
    if (at >= 0) return void t.fail([...path.slice(at), file].join(' → '))
    if (done.has(file)) return
    path.push(file)
    for (const target of graph.get(file) ?? []) visit(target)
    path.pop()
    done.add(file)
  }
  for (const file of graph.keys()) visit(file)
  t.equal(done.size, graph.size)
})

t.test('no package is imported outside its home', async t => {
  for (const file of files) {
    for (const from of importsOf(file)) {
      if (from.startsWith('.') || from.startsWith('node:')) continue
      t.ok(LAYERS[layerOf(file)]?.packages.includes(packageOf(from)), `${from} in ${file}`)
      const home = HOMES[from]
      if (home) t.match(file, home, `${from} in ${file}`)
    }
  }
})

t.test('every name in the drawings of the map is a file, or a folder', async t => {
  const drawings = [...map.matchAll(/^```\n([\s\S]*?)^```/gm)].map(m => m[1]!).slice(0, 3)
  const folders = new Set(files.map(dirname))
  const names = drawings.flatMap(
    drawing => drawing.match(/(?<![\w/])[a-z-]+(?:\/[a-z0-9.-]+)+/g) ?? [],
  )
  t.ok(names.length > 25, `${names.length} names`)
  for (const name of names) {
    const file = name.endsWith('.ts') ? name : `${name}.ts`
    const here = [file, `data/${file}`, `control/${file}`]
    const held =
      here.some(path => files.includes(path)) || [...folders].some(folder => folder === name)
    t.ok(held, name)
  }
})

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8')

t.test(
  'a file of more than 300 lines says at its head why it is long, and no other does',
  async t => {
    for (const file of files) {
      const text = textOf(file)
      const head = text.slice(0, text.indexOf('*/')).replace(/\n \* ?/g, ' ')
      t.equal(/ This file is long, because \w/.test(head), text.split('\n').length > 301, file)
    }
  },
)

t.test('no wiring file has more than 250 lines', async t => {
  const wiring = files.filter(file => /^(daemon|control|data)\/([\w-]+|.+-part)\.ts$/.test(file))
  t.ok(wiring.includes('control/sharing/gossip-part.ts'))
  for (const file of wiring) t.ok(textOf(file).split('\n').length <= 251, file)
})

t.test('a file that a comment names is there', async t => {
  const paths = files.map(file => `/${file}`)
  let seen = 0
  for (const file of files)
    for (const [comment] of textOf(file).matchAll(/\/\*[\s\S]*?\*\/|(?<=^\s*)\/\/.*/gm))
      for (const [name] of comment.matchAll(/(?<![\w/*.-])(?:[\w-]+\/)*[\w-]+\.ts\b/g)) {
        seen++
        const there = name.includes('/')
          ? paths.some(path => path.endsWith(`/${name}`)) || existsSync(join(root, '..', name))
          : files.includes(join(dirname(file), name))
        t.ok(there, `${name} in ${file}: beside it, or named with its folder`)
      }
  t.ok(seen > 100, `${seen} names`)
})
