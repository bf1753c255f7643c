/**
 * Loads a configuration: parses the YAML, checks it against the schema and the rules, and records where each
 * value came from.
 */
import { readFileSync } from 'node:fs'
import type { $ZodIssue } from 'zod/v4/core'
import { showProblem, type Config, type Loaded, type Origin } from './config.ts'
import { codeOf, fail, messageOf, type Coded } from '../base/error.ts'
import { finish } from './finish.ts'
import type { Host } from './host.ts'
import type { Params } from './kinds.ts'
import { nearest } from './nearest.ts'
import { breaches } from './rules.ts'
import { KEYS, keysOf, schema } from './schema.ts'
import {
  parseSource,
  showPath,
  type Path,
  type Position,
  type Problem,
  type Source,
} from './source.ts'
import { shown } from './units.ts'

/** Limit of reported problems: a longer list does not help the reader. */
const MAX_PROBLEMS = 200

/**
 * Loads a configuration from text. Throws ECONFIG, whose `problems` list all errors in the order of the file.
 * `path` is used only in the message.
 */
export const loadConfig = (path: string, text: string, host: Host): Loaded => {
  const source = parseSource(text)
  const document = source.raw ?? {}
  const read = schema.safeParse(document)
  const problems = [...source.problems]
  const whole = source.brokenAt === Infinity
  // Below a YAML error, values may be missing or misplaced, so only the part above it is checked.
  const counts = ({ line }: Position): boolean => whole || line < source.brokenAt
  for (const issue of source.raw === undefined && !whole ? [] : (read.error?.issues ?? [])) {
    if (whole || source.has(issue.path))
      described(issue, source, problem => counts(problem) && problems.push(problem))
  }
  for (const { path: at, message, what } of whole ? breaches(document, host.addresses) : []) {
    problems.push({ ...source.at(at, what), path: showPath(at), message })
  }
  if (problems.length || !read.success) throw refused(path, problems)
  const config = finish(read.data, host)
  return { config, origins: originsOf(config, source), document: document }
}

/** Loads the configuration from a file. Throws ECONFIG, also if the file cannot be read. */
export const loadConfigFile = (path: string, host: Host): Loaded => {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (er) {
    const why = codeOf(er) === 'ENOENT' ? 'there is no such file' : messageOf(er)
    throw refused(path, [{ line: 1, column: 1, path: '', message: why }], er)
  }
  return loadConfig(path, text, host)
}

const refused = (path: string, problems: Problem[], cause?: unknown): Coded => {
  problems.sort((a, b) => a.line - b.line || a.column - b.column)
  const [first] = problems
  const cut = problems.splice(MAX_PROBLEMS).length > 0
  const more =
    problems.length > 1 ? ` (and ${cut ? 'at least ' : ''}${problems.length - 1} more)` : ''
  const last = problems.at(-1)
  if (last && cut) problems.push({ ...last, path: '', message: 'and more problems like these' })
  return fail(first ? `${showProblem(path, first)}${more}` : `${path}: cannot be used`, 'ECONFIG', {
    file: path,
    problems,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** Reports the problems of one zod issue; each unknown key is a problem of its own. */
const described = (
  issue: $ZodIssue,
  source: Source,
  found: (problem: Problem) => unknown,
): void => {
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys.slice(0, MAX_PROBLEMS + 1)) {
      const path = [...issue.path, key]
      const suggestion = knownKey(issue.path, key)
      const at = { ...source.at(path, 'key'), path: showPath(path), message: 'unknown key' }
      found(suggestion ? { ...at, suggestion } : at)
    }
    return
  }
  const { suggestion, what }: Params = issue.code === 'custom' ? (issue.params ?? {}) : {}
  const message =
    issue.code === 'invalid_type' ? noSection(valueAt(source.raw, issue.path)) : issue.message
  const at = { ...source.at(issue.path, what), path: showPath(issue.path), message }
  found(suggestion ? { ...at, suggestion } : at)
}

const noSection = (raw: unknown): string =>
  raw === undefined
    ? 'this section is required'
    : `${shown(raw)} is not a section of 'key: value' lines`

const valueAt = (raw: unknown, path: Path): unknown =>
  path.reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown> | undefined)?.[step], raw)

/** Names of our keys in the programs that spartan replaces. */
const FORMER: Readonly<Record<string, string>> = {
  bind_ips: 'listen.addresses',
  udp_port: 'listen.port',
  tcp_port: 'listen.port',
  upstream_resolvers: 'upstreams',
  resolvers: 'upstreams',
  master_source: 'masters.source',
  exhibitor_uri: 'masters.exhibitor',
  handler_limit: 'limits.inFlight',
  enable_ipv6: 'vips.enableIpv6',
  min_named_ip: 'vips.range.min',
  max_named_ip: 'vips.range.max',
}

/** The known key that was probably meant by `key` in the section at `path`. */
const knownKey = (path: Path, key: string): string | undefined => {
  const section = path.reduce<unknown>((at, step) => keysOf(at)?.[String(step)], schema)
  const sibling = nearest(key, Object.keys(keysOf(section) ?? {}))
  if (sibling) return showPath([...path, sibling])
  if (Object.hasOwn(FORMER, key)) return FORMER[key]
  // The key exists, but in another section.
  return KEYS.find(known => known.path.split('.').at(-1) === key)?.path
}

const originsOf = (config: Config, source: Source): ReadonlyMap<string, Origin> => {
  const origins = new Map<string, Origin>()
  for (const { path } of KEYS) {
    const steps = path.split('.')
    if (steps.length > 1 && config[steps[0] as keyof Config] === undefined) continue
    origins.set(path, source.has(steps) ? `file:${source.at(steps, 'key').line}` : 'default')
  }
  return origins
}
