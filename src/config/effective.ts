/**
 * Prints the effective configuration: every key with its value, and a comment that says where the value comes
 * from. The text is itself a valid file that loads to the same Config, except that `allow` is written out and
 * so no longer follows the networks of this host.
 */
import type { Loaded, Origin } from './config.ts'
import { flow, KEYS } from './schema.ts'

/** One key in effect; `value` is YAML on one line. */
export type Effective = { readonly path: string; readonly value: string; readonly origin: Origin }

const valueAt = (raw: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (at, step) => (at as Record<string, unknown> | null | undefined)?.[step],
    raw,
  )

/** Every key of the sections in use, in the order of KEYS. */
export const effective = ({ config, origins, document }: Loaded): readonly Effective[] =>
  KEYS.flatMap(({ path, default: fallback }): Effective[] => {
    const origin = origins.get(path)
    if (!origin) return []
    if (origin !== 'default')
      return [{ path, value: flow(valueAt(document, path.split('.'))), origin }]
    // These two defaults come from the host and have no text in the schema.
    if (path === 'node' || path === 'allow') return [{ path, value: flow(config[path]), origin }]
    return [{ path, value: fallback, origin }]
  })

/**
 * The effective configuration as YAML with a comment on each line. The last lines name the sections that are
 * not used.
 */
export const showEffective = (loaded: Loaded, file: string): string => {
  const lines: [text: string, comment: string][] = []
  let open: string[] = []
  for (const { path, value, origin } of effective(loaded)) {
    const steps = path.split('.')
    const sections = steps.slice(0, -1)
    const shared = sections.findIndex((step, i) => step !== open[i])
    for (let i = shared < 0 ? sections.length : shared; i < sections.length; i++) {
      lines.push([`${'  '.repeat(i)}${sections[i]}:`, ''])
    }
    open = sections
    const from = origin === 'default' ? origin : `${file}:${origin.slice('file:'.length)}`
    lines.push([`${'  '.repeat(sections.length)}${steps.at(-1)}: ${value}`, from])
  }
  const width = Math.min(60, Math.max(...lines.map(([text]) => text.length)))
  const unused = ['masters', 'gossip', 'vips', 'mesos', 'dnstap'].filter(
    name => !loaded.origins.has(KEYS.find(key => key.path.startsWith(`${name}.`))?.path ?? ''),
  )
  return [
    ...lines.map(([text, comment]) => (comment ? `${text.padEnd(width)}  # ${comment}` : text)),
    ...unused.map(name => `# ${name}: not used`),
    '',
  ].join('\n')
}
