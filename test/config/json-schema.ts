/** The schema for editors accepts the same values as the daemon. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { jsonSchema, type JsonSchema } from '../../src/config/json-schema.ts'
import { KEYS } from '../../src/config/schema.ts'

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

/** A validator for the parts of JSON Schema that ours uses; returns what does not match, with its path. */
const misfits = (schema: JsonSchema, value: unknown, path = ''): string[] => {
  const is =
    value === null
      ? 'null'
      : Array.isArray(value)
        ? 'array'
        : Number.isInteger(value)
          ? 'integer'
          : typeof value
  const types = [schema['type'] ?? []].flat() as string[]
  if (types.length > 0 && !types.includes(is)) return [`${path} is ${is}`]
  const words = schema['enum'] as unknown[] | undefined
  if (words && !words.includes(value)) return [`${path} is none of ${words.join(' ')}`]
  if (is === 'array')
    return (value as unknown[]).flatMap((item, i) =>
      misfits(schema['items'] as JsonSchema, item, `${path}[${i}]`),
    )
  if (is !== 'object') return []
  const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>
  const rest = schema['additionalProperties']
  const missing = ((schema['required'] ?? []) as string[]).filter(
    name => !(name in (value as object)),
  )
  return [
    ...missing.map(name => `${path}.${name} is missing`),
    ...Object.entries(value as object).flatMap(([name, inner]) => {
      const of = properties[name] ?? (rest === false || rest === undefined ? undefined : rest)
      return of
        ? misfits(of as JsonSchema, inner, `${path}.${name}`)
        : [`${path}.${name} is unknown`]
    }),
  ]
}

t.test('the shipped schema is the one of the code', async t => {
  t.equal(read('deploy/spartan.schema.json'), `${JSON.stringify(jsonSchema(), null, 2)}\n`)
})

t.test('every key is in the schema with its meaning', async t => {
  for (const { path, description } of KEYS) {
    let at: JsonSchema | undefined = jsonSchema()
    for (const name of path.split('.'))
      at = (at?.['properties'] as Record<string, JsonSchema> | undefined)?.[name]
    t.equal(at?.['description'], description, path)
    if (at && 'default' in at) t.strictSame(misfits(at, at['default']), [], `${path}: its default`)
  }
})

t.test('the sample fits', async t => {
  const sample = read('deploy/spartan.yaml')
  t.match(sample, /^# yaml-language-server: \$schema=\S+\/spartan\.schema\.json\n/)
  t.strictSame(misfits(jsonSchema(), parse(sample)), [])
})

t.test('the schema refuses what the daemon refuses', async t => {
  const listen = { addresses: ['198.51.100.1'] }
  for (const [file, wanted] of [
    [{}, ['.listen is missing']],
    [{ listen: {} }, ['.listen.addresses is missing']],
    [{ listen, masters: { source: 'nowhere' } }, [/\.masters\.source is none of static/]],
    [{ listen, cach: {} }, ['.cach is unknown']],
    [{ listen, upstreams: '192.0.2.53' }, ['.upstreams is string']],
    [{ listen, forwardZones: { 'corp.example': ['192.0.2.60'] }, cache: { serveStale: 0 } }, []],
    [{ listen, gossip: null }, []],
    [{ listen, identity: 'yes' }, ['.identity is string']],
  ] as const)
    t.match(misfits(jsonSchema(), file), wanted)
})
