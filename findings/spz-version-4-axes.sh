#!/usr/bin/env bash
# @adobe/spz 0.2.3 and @playcanvas/splat-transform 3.7.0 (npm): the same splat, from a PLY's axes, to .spz of version 4.
# Guess: version 4 may state its axes in an extension, so two current writers either state them or mean the same.
# Seen: neither states any. Both headers are the same 32 bytes, and so are all blocks but those that depend on axes: the
#   format's own library stores right, up, back, splat-transform a PLY's right, down, front. A reader cannot tell.
# Output:
#   headers are equal: true
#   @adobe/spz stores 1 -2 -3, splat-transform 1 2 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @adobe/spz@0.2.3 @playcanvas/splat-transform@3.7.0
cat > axes.mjs <<'END'
import assert from 'assert';
import fs from 'fs';
import { execFileSync } from 'child_process';
import load from '@adobe/spz';

const names = 'x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3'.split(' ');
const row = Float32Array.of(1, 2, 3, 0, 0, 0, 1, -3, -3, -3, 1, 0, 0, 0);
const head = ['ply', 'format binary_little_endian 1.0', 'element vertex 1'];
head.push(...names.map((n) => `property float ${n}`), 'end_header', '');
fs.writeFileSync('x.ply', Buffer.concat([Buffer.from(head.join('\n')), Buffer.from(row.buffer)]));
const tool = 'node_modules/@playcanvas/splat-transform/bin/cli.mjs';
execFileSync('node', [tool, '-q', '-w', '--spz-version', '4', 'x.ply', 'theirs.spz']);

const spz = await load();
const of = (...numbers) => Float32Array.from(numbers);
const cloud = { numPoints: 1, shDegree: 0, antialiased: false, extensions: [], positions: of(1, 2, 3), sh: of() };
Object.assign(cloud, { scales: of(-3, -3, -3), rotations: of(0, 0, 0, 1), alphas: of(1), colors: of(0, 0, 0) });
const options = { version: 4, from: spz.CoordinateSystem.RDF, sh1Bits: 5, shRestBits: 4 };
const files = [Buffer.from(spz.saveSpzToBuffer(cloud, options)), fs.readFileSync('theirs.spz')];

const place = (file) => {  // the first block, of 3 numbers of 24 bits, is small enough for zstd to store it as it is
    const streams = file[15], start = file.readUInt32LE(16) + 16 * streams;
    const raw = file.subarray(start + 9, start + 18);  // magic 4, descriptor 1, size 1, header of the block 3
    return [0, 3, 6].map((i) => raw.readIntLE(i, 3) / 4096);
};
const [niantic, playcanvas] = files.map(place);
const same = files[0].subarray(0, 32).equals(files[1].subarray(0, 32));
console.log(`headers are equal: ${same}`);
console.log(`@adobe/spz stores ${niantic.join(' ')}, splat-transform ${playcanvas.join(' ')}`);
assert(same);
assert.deepStrictEqual(niantic, [1, -2, -3]);
assert.deepStrictEqual(playcanvas, [1, 2, 3]);
process.exit(0);
END
node axes.mjs
