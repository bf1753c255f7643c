/**
 * The configuration file as JSON Schema, for editors. It is generated from KEYS, so it includes every key. It
 * checks less than the daemon does: `spartan check` also looks inside text values.
 */
import { parse } from 'yaml'
import { KEYS, type KeyFacts } from './schema.ts'

export type JsonSchema = Readonly<Record<string, unknown>>

const STRING: JsonSchema = { type: 'string' }
/** A value with or without quotes and a unit: `5s`, `0`. */
const QUANTITY: JsonSchema = { type: ['string', 'integer'] }

/** The schema of one kind of value; kinds are named as in the manual. */
const kindOf = (type: string): JsonSchema => {
  if (type.startsWith('list of '))
    return { type: 'array', items: kindOf(type.slice('list of '.length)) }
  const map = /^\w+: (.+)$/.exec(type)
  if (map) return { type: 'object', additionalProperties: kindOf(map[1]!) }
  const inner = /^\{\w+: (.+)\}$/.exec(type)
  if (inner) return { type: 'object', additionalProperties: kindOf(inner[1]!) }
  if (type === 'true or false') return { type: 'boolean' }
  if (type === 'number' || type === 'port') return { type: 'integer' }
  if (type === 'time' || type === 'size') return QUANTITY
  if (type.includes(', ')) return { enum: type.split(', ') }
  return STRING
}

/** The default as a value; none if the manual describes it in words, such as 'host name'. */
const defaultOf = ({ default: text, type }: KeyFacts): JsonSchema => {
  if (text === 'required') return {}
  const value: unknown = parse(text)
  const fits = type.startsWith('list of ')
    ? Array.isArray(value)
    : typeof value !== 'string' || !/\s/.test(value)
  return fits ? { default: value } : {}
}

type Section = { properties: Record<string, JsonSchema | Section>; required: string[] }

const sectionSchema = ({ properties, required }: Section, nullable: boolean): JsonSchema => ({
  type: nullable ? ['object', 'null'] : 'object',
  additionalProperties: false,
  properties: Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [
      name,
      isSection(value) ? sectionSchema(value, true) : value,
    ]),
  ),
  ...(required.length > 0 ? { required } : {}),
})

const isSection = (value: JsonSchema | Section): value is Section =>
  'properties' in value && 'required' in value && !('type' in value)

/** The whole file. */
export const jsonSchema = (keys: readonly KeyFacts[] = KEYS): JsonSchema => {
  const root: Section = { properties: {}, required: [] }
  for (const key of keys) {
    const path = key.path.split('.')
    let section = root
    for (const name of path.slice(0, -1)) {
      const inner = (section.properties[name] ??= { properties: {}, required: [] })
      if (!isSection(inner)) throw new Error(`${key.path} lies in a key that holds a value`)
      section = inner
    }
    const name = path.at(-1)!
    section.properties[name] = {
      ...kindOf(key.type),
      description: key.description,
      ...defaultOf(key),
    }
    if (key.default === 'required') section.required.push(name)
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'spartan.yaml',
    ...sectionSchema({ ...root, required: ['listen'] }, false),
  }
}
