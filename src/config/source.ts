/**
 * Parses the text of a configuration into plain data, and remembers the position of each value. Only YAML
 * errors, duplicate keys and hostile structures are reported here; the meaning is not checked.
 */
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type Pair,
} from 'yaml'
import { messageOf } from '../base/error.ts'

/** A position in the text, both counted from 1. */
export type Position = { readonly line: number; readonly column: number }

/** The path to a value: section keys and list indices. */
export type Path = readonly PropertyKey[]

/** One problem. `path` is '' if no key is concerned. */
export type Problem = Position & {
  readonly path: string
  readonly message: string
  /** What was probably meant: the path of a key, or a value. */
  readonly suggestion?: string
}

export type Source = {
  /** The document as plain data; undefined if it cannot be parsed. */
  readonly raw: unknown
  readonly problems: readonly Problem[]
  /** The first line with a YAML error; `raw` is only reliable above it. Infinity if there is none. */
  readonly brokenAt: number
  /** The position of the value at `path` or of its key; if it is missing, of the nearest section above. */
  at(path: Path, what?: 'key' | 'value'): Position
  /** Whether there is a value, even null, at `path`. */
  has(path: Path): boolean
}

/** Limit of the text in bytes: four times the size of a file with ten thousand static names. */
const MAX_TEXT = 2 ** 20
/** Limit of nesting. The schema is four levels deep; deeper documents still get a good message. */
const MAX_DEPTH = 16
const TOO_DEEP = 'nested too deeply'

/** A path in the usual notation: 'listen.addresses[0]', 'forwardZones["corp.example"]'. */
export const showPath = (path: Path): string =>
  path
    .map((step, i) => {
      if (typeof step === 'number') return `[${step}]`
      const word = String(step)
      if (/^[A-Za-z_][\w-]*$/.test(word)) return i ? `.${word}` : word
      return `[${JSON.stringify(word.length > 80 ? `${word.slice(0, 77)}...` : word)}]`
    })
    .join('')

const nothing = (problem: Problem): Source => ({
  raw: undefined,
  problems: [problem],
  brokenAt: 0,
  at: () => ({ line: 1, column: 1 }),
  has: () => false,
})

/** Parses YAML (JSON is YAML). Never throws. */
export const parseSource = (text: string): Source => {
  if (text.length > MAX_TEXT) {
    return nothing({ line: 1, column: 1, path: '', message: `longer than ${MAX_TEXT} characters` })
  }
  try {
    return read(text)
  } catch (er) {
    const message = er instanceof RangeError ? TOO_DEEP : messageOf(er)
    return nothing({ line: 1, column: 1, path: '', message })
  }
}

const read = (text: string): Source => {
  const lines = new LineCounter()
  // Duplicate keys are found below, in linear time and with their path.
  const doc = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: false,
  })
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(Math.min(offset, text.length))
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const problems: Problem[] = []
  for (const er of [...doc.errors, ...doc.warnings]) {
    const message = sentence(er.code, er.message)
    // The parser reports more errors after the first; one for each line is enough.
    const at = place(er.pos[0])
    if (problems.at(-1)?.line !== at.line) problems.push({ ...at, path: '', message })
  }
  // An unknown tag does not affect the structure; an error does.
  const brokenAt = doc.errors.reduce(
    (least, er) => Math.min(least, place(er.pos[0]).line),
    Infinity,
  )
  const index = indexOf(doc, (message, path, offset) =>
    problems.push({ ...place(offset), path: showPath(path), message }),
  )
  const raw = index.hostile ? undefined : brokenAt < Infinity ? partly(doc) : doc.toJS()
  return {
    raw,
    problems,
    brokenAt: index.hostile ? 0 : brokenAt,
    at: (path, what = 'value') => {
      const { node, key } = index.find(path)
      return place((what === 'key' && key !== undefined ? key : node) ?? 0)
    },
    has: path => index.find(path).whole,
  }
}

/** The data of a document with errors; undefined if it cannot be converted. */
const partly = (doc: Document): unknown => {
  // The parser would convert a key that is not a string, and print a warning of the process.
  if (doc.errors.some(er => er.code === 'NON_STRING_KEY')) return undefined
  try {
    return doc.toJS()
  } catch {
    return undefined
  }
}

/** Replaces messages of the parser that only make sense with the YAML specification at hand. */
const sentence = (code: string, message: string): string => {
  if (code === 'MULTIPLE_DOCS') return 'a second document begins: one file is one document'
  if (code === 'NON_STRING_KEY') return 'this key is a list or a section: keys are words'
  if (code === 'TAG_RESOLVE_FAILED') return `${message}: tags are not used here`
  if (code === 'TAB_AS_INDENT') return 'a tab in the indentation: YAML wants spaces'
  // The parser recurses once per level, and reports a stack overflow as an error in the text.
  if (/call stack/i.test(message)) return TOO_DEEP
  return message.split('\n')[0] ?? message
}

type Found = { node?: number; key?: number; whole: boolean }
type Report = (message: string, path: Path, offset: number) => void

/** Finds nodes by path. The keys of a map are indexed once, so that many problems in one map stay cheap. */
const indexOf = (doc: Document, report: Report) => {
  const maps = new Map<unknown, Map<string, Pair>>()
  let hostile = false
  const resolved = (node: unknown): unknown => (isAlias(node) ? node.resolve(doc) : node)

  const survey = (node: unknown, path: Path): void => {
    if (path.length > MAX_DEPTH) {
      hostile = true
      return report(TOO_DEEP, path.slice(0, 4), offsetOf(node) ?? 0)
    }
    if (isSeq(node)) return node.items.forEach((item, i) => survey(item, [...path, i]))
    if (!isMap(node)) return
    const keys = new Map<string, Pair>()
    maps.set(node, keys)
    for (const pair of node.items) {
      const key = keyOf(pair)
      const at = [...path, key]
      if (keys.has(key)) report('this key is given twice', at, offsetOf(pair.key) ?? 0)
      // A plain object cannot hold __proto__ as an ordinary key.
      if (key === '__proto__') {
        hostile = true
        report('this key cannot be used', at, offsetOf(pair.key) ?? 0)
      }
      keys.set(key, pair)
      survey(pair.value, at)
    }
  }
  survey(doc.contents, [])

  const find = (path: Path): Found => {
    let node = resolved(doc.contents)
    let found: Found = { whole: true, ...where(node) }
    for (const step of path) {
      const pair = isMap(node) ? maps.get(node)?.get(String(step)) : undefined
      const item = isSeq(node) && typeof step === 'number' ? node.items[step] : undefined
      if (!pair && item === undefined) return { ...found, whole: false }
      const next = pair ? pair.value : item
      const key = offsetOf(pair?.key)
      found = { whole: true, ...where(next, key), ...(key === undefined ? {} : { key }) }
      node = resolved(next)
    }
    return found
  }
  return { find, hostile }
}

const keyOf = (pair: Pair): string =>
  isScalar(pair.key) ? String(pair.key.value) : String(pair.key)
const offsetOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined)
const where = (node: unknown, key?: number): { node?: number } => {
  // An empty value has no useful position of its own, so its key is used.
  const empty = node === null || (isScalar(node) && node.value === null && key !== undefined)
  const offset = empty ? key : offsetOf(node)
  return offset === undefined ? {} : { node: offset }
}
