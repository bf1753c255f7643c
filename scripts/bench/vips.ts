/** VIPs for a server under load: many that do not change, and one that moves. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The number in a large cluster; 256 kB of records. */
const MANY = 5_000

const file = (vips: readonly { vip: string; backends: readonly string[] }[]): string =>
  // JSON is YAML.
  JSON.stringify({ framework: 'bench', vips })

/** Writes the fixed VIPs and the moving one into a folder; returns the paths for `vips.files`. */
export const writeVips = (dir: string): readonly string[] => {
  const many = join(dir, 'vips-many.yaml')
  const vips = Array.from({ length: MANY }, (_, i) => ({
    vip: `/service-${i}:80`,
    backends: [`198.18.${i >> 8}.${i & 255}:31000`],
  }))
  writeFileSync(many, file(vips))
  return [many, moveVip(dir, 0)]
}

/** Moves the VIP to another backend. */
export const moveVip = (dir: string, turn: number): string => {
  const one = join(dir, 'vips-one.yaml')
  writeFileSync(
    `${one}.new`,
    file([{ vip: '/moves:80', backends: [`198.19.0.${turn % 250}:31000`] }]),
  )
  renameSync(`${one}.new`, one)
  return one
}
