"""GLSL of the renderer: procedural materials, a shadowed key light, and a sky whose light is shadowed from many sides.

Two passes: SURFACE writes position, normal and texture coordinates at twice the resolution; SHADE then lights each
covered sample once, however fine the mesh is. The four samples of a pixel take turns with the shadow taps and the sky
directions, so that their mean has all of them.

Materials are rows of a float texture (6 texels each, see `rasterise.material_table`). Texture coordinates are `local`
(solid), (angle, height) about the y axis (cylinder), or the two coordinates across the dominant axis of
the local normal (box). `scale` counts features per unit of `local`.
"""

SKY = 20  # directions of sky light, a multiple of 4; their shadow maps are tiles of one atlas
ATLAS_COLUMNS = 5

VERTEX = """
#version 330
uniform mat4 clip_from_world;
in vec3 in_position; in vec3 in_normal; in vec3 in_local; in float in_material;
out vec3 position; out vec3 normal; out vec3 local; flat out int material;
void main() {
    position = in_position; normal = in_normal; local = in_local; material = int(in_material + 0.5);
    gl_Position = clip_from_world * vec4(in_position, 1.0);
}
"""

OPAQUE_VERTEX = """
#version 330
uniform mat4 clip_from_world;
in vec3 in_position;
void main() { gl_Position = clip_from_world * vec4(in_position, 1.0); }
"""

OPAQUE_DEPTH = """
#version 330
out float depth;
void main() { depth = 1.0 / gl_FragCoord.w; }
"""

CUTOUT_DEPTH = """
#version 330
uniform sampler2D table; uniform sampler2DArray images;
in vec3 local; flat in int material;
out float depth;
void main() {
    float layer = texelFetch(table, ivec2(4, material), 0).x;
    if (layer >= 0.0 && texture(images, vec3(local.xy, layer)).a < 0.5) discard;
    depth = 1.0 / gl_FragCoord.w;
}
"""

SURFACE = """
#version 330
in vec3 position; in vec3 normal; in vec3 local; flat in int material;
layout(location = 0) out vec4 where; layout(location = 1) out vec4 facing; layout(location = 2) out vec4 inside;
void main() {
    vec3 a = dFdx(local), b = dFdy(local), axes = abs(cross(a, b));
    where = vec4(position, float(material));
    facing = vec4(normal, max(length(a), length(b)));
    inside = vec4(local, axes.x > max(axes.y, axes.z) ? 0.0 : axes.y > axes.z ? 1.0 : 2.0);
}
"""

CUTOUT_SURFACE = SURFACE.replace(
    "in vec3 position;", "uniform sampler2D table; uniform sampler2DArray images;\nin vec3 position;"
).replace(
    "void main() {",
    """void main() {
    float layer = texelFetch(table, ivec2(4, material), 0).x;
    if (layer >= 0.0 && texture(images, vec3(local.xy, layer)).a < 0.5) discard;""",
)

SCREEN = """
#version 330
in vec2 in_corner;
void main() { gl_Position = vec4(in_corner, 1.0, 1.0); }
"""

NOISE = """
float hash(vec3 p) {
    p = fract(p * vec3(0.1031, 0.11369, 0.13787)); p += dot(p, p.yxz + 19.19);
    return fract((p.x + p.y) * p.z);
}
float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x),
                   mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
               mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x),
                   mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z);
}
float fbm(vec3 p) { return 0.55 * noise(p) + 0.3 * noise(2.03 * p + 7.1) + 0.15 * noise(4.1 * p + 3.7); }
// a box-filtered 0/1 square wave of period 1 whose upper part is `duty` wide
float wave(float x, float duty, float width) {
    float w = max(width, 1e-4); float a = x - 0.5 * w, b = x + 0.5 * w;
    return ((floor(b) * duty + min(fract(b), duty)) - (floor(a) * duty + min(fract(a), duty))) / w;
}
float disc(vec2 q, float radius, float width) { return 1.0 - smoothstep(radius - width, radius + width, length(q)); }
"""

MATERIALS = """
// base colour (linear) at texture point p; w is the pixel footprint in features, (u, v) the surface coordinates
vec3 albedo(int kind, vec3 p, vec2 uv, vec2 w, vec3 a, vec3 b, vec3 c, float dutyp, float q, int axis, vec3 raw) {
    float wide = max(w.x, w.y);
    float fade = clamp(1.5 - wide, 0.0, 1.0);
    float n = fbm(p), fine = mix(0.5, noise(p * 5.0), fade);
    float along = axis == 0 ? p.x : axis == 1 ? p.y : p.z;
    vec2 across = axis == 0 ? p.yz : axis == 1 ? p.xz : p.xy;
    if (kind == 1) {                                            // wood: rings about the axis and streaks along it
        vec3 s = axis == 0 ? vec3(0.12, 1, 1) : axis == 1 ? vec3(1, 0.12, 1) : vec3(1, 1, 0.12);
        float ring = length(across * vec2(1.0, 0.7) + 2.0 * q + 0.9 * noise(p * s * 0.6)) * (1.0 + 2.0 * dutyp);
        float streak = mix(0.5, noise(p * s * 6.0), fade);
        float dark = 0.65 * smoothstep(0.1, 0.9, 0.5 + 0.5 * sin(6.2832 * ring)) + 0.6 * (streak - 0.3);
        return mix(a, b, clamp(dark, 0.0, 1.0));
    }
    if (kind == 2) {
        float first = wave(along, dutyp, axis == 1 ? w.y : w.x);
        float thin = wave(along * 1.0 + 0.5 + 0.5 * dutyp, 0.12, axis == 1 ? w.y : w.x) * step(0.5, q);
        return mix(mix(b, a, first), c, thin);
    }
    if (kind == 3) {
        float spots = smoothstep(0.66, 0.74, noise(p * 2.0 + 11.0));
        float pale = smoothstep(0.68, 0.76, noise(p * 3.3 + 31.0));
        return mix(mix(mix(a, b, spots * fade), c, pale * fade * q), 0.5 * (a + b), (1.0 - fade) * 0.3);
    }
    if (kind == 4) {
        float x = wave(uv.x, 0.5, w.x), y = wave(uv.y, 0.5, w.y);
        return mix(a, b, x + y - 2.0 * x * y);
    }
    if (kind == 5) {
        float t = clamp(along + 0.5 + 0.25 * (n - 0.5), 0.0, 1.0);
        vec3 low = mix(c, a, smoothstep(dutyp - 0.25, dutyp + 0.05, t));
        return mix(low, b, smoothstep(q, q + 0.25, t));
    }
    if (kind == 6) {
        float vein = abs(sin(3.1416 * (along + 2.2 * n + 0.5 * p.x)));
        return mix(mix(a, b, smoothstep(0.25, 0.75, n)), c, (1.0 - smoothstep(0.0, 0.25 * dutyp + 0.05, vein)) * q);
    }
    if (kind == 7) {
        vec2 cell = floor(uv), f = fract(uv) - 0.5; float odd = mod(cell.y, 2.0);
        f.x = fract(uv.x + 0.5 * odd) - 0.5;
        float r = 0.12 + 0.33 * dutyp, dot1 = disc(f, r, wide);
        return mix(a, mix(b, c, step(0.5, hash(vec3(floor(uv.x + 0.5 * odd), cell.y, 3.0))) * q), dot1);
    }
    if (kind == 8) {                                            // staves: planks side by side with dark joints
        float id = floor(uv.x), joint = wave(uv.x + 0.04, 0.08, w.x);
        float streak = noise(vec3(uv.x * 6.0, raw.y * 4.0 * (0.4 + dutyp), id));
        streak = mix(0.5, streak, clamp(1.5 - 3.0 * w.x, 0.0, 1.0));
        vec3 plank = mix(a, b, clamp(0.7 * hash(vec3(id, 5.0, 9.0)) + 0.9 * (streak - 0.4), 0.0, 1.0));
        return mix(plank, c, joint);
    }
    if (kind == 9) return mix(mix(a, b, smoothstep(0.3, 0.7, n)), c, 0.55 * smoothstep(0.45, 0.9, fine));
    if (kind == 10) {
        float x = wave(uv.x, 0.5, w.x), y = wave(uv.y, 0.5, w.y);
        float z = max(wave(uv.x + 0.25, 0.09, w.x), wave(uv.y + 0.25, 0.09, w.y));
        return mix(mix(a, b, 0.5 * (x + y)), c, z * q);
    }
    if (kind == 11) {                                         // label: a panel with a frame, a title and lines of print
        vec2 f = vec2(uv.x, uv.y) ; float inside = step(abs(f.x), dutyp) * step(abs(f.y), q);
        float frame = inside - step(abs(f.x), dutyp - 0.05) * step(abs(f.y), q - 0.05);
        vec2 t = f / vec2(dutyp, q);
        float title = step(abs(t.y - 0.4), 0.22) * step(abs(t.x), 0.75)
                    * step(0.38, hash(vec3(floor(t.x * 7.0), 1.0, floor(a.x * 50.0))));
        float lines = step(t.y, 0.0) * step(-0.75, t.y) * step(abs(t.x), 0.8) * wave(t.y * 5.0, 0.45, w.y * 5.0 / q)
                    * step(0.3, hash(vec3(floor(t.x * 11.0), floor(t.y * 5.0), 2.0)));
        float badge = disc(t - vec2(0.0, 0.05), 0.16, 0.03);
        return mix(a, mix(mix(b, c, max(max(title, lines), frame)), a, badge), inside);
    }
    if (kind == 12) {                                           // motifs: rosettes in rows between two lines
        vec2 cell = floor(uv), f = fract(uv) - 0.5; float ang = atan(f.y, f.x), r = length(f);
        float petals = 1.0 - smoothstep(-wide, wide, r - (0.2 + 0.14 * cos(ang * floor(3.0 + 4.0 * q))));
        float row = step(abs(cell.y + 0.5 - 2.0 * floor(dutyp * 4.0 - 1.5)), 0.6) + step(0.8, dutyp);
        float bar = step(0.44, abs(f.y)) * fade;
        float on = clamp(row, 0.0, 1.0);
        return mix(mix(a, b, petals * on), c, max(disc(f, 0.09, wide), 0.8 * bar) * on);
    }
    if (kind == 13) {                                           // weave: over and under threads
        vec2 t = fract(uv) - 0.5; float over = mod(floor(uv.x) + floor(uv.y), 2.0);
        float round_ = 1.0 - 1.6 * (over > 0.5 ? t.x * t.x : t.y * t.y) - 0.5 * dot(t, t);
        return mix(mix(a, b, over * q), mix(a, b, over * q) * round_ + 0.1 * c, fade);
    }
    if (kind == 14) {
        float worn = smoothstep(0.52 + 0.2 * dutyp, 0.6 + 0.2 * dutyp, n + 0.12 * (fine - 0.5));
        return mix(a * (0.9 + 0.2 * fine), mix(b, c, fine), worn * q);
    }
    return a * (1.0 + 0.12 * (n - 0.5));
}
"""

# Both shaders of surfaces begin with it: what the G-buffer holds at a pixel, its material, and texture coordinates.
SURFACE_POINT = """\
    ivec2 at = ivec2(gl_FragCoord.xy); int turn = (at.x & 1) + 2 * (at.y & 1);
    vec4 g0 = texelFetch(where, at, 0), g1 = texelFetch(facing, at, 0), g2 = texelFetch(inside, at, 0);
    vec3 position = g0.xyz, local = g2.xyz; int material = int(g0.w + 0.5);
    vec4 m0 = texelFetch(table, ivec2(0, material), 0), m1 = texelFetch(table, ivec2(1, material), 0);
    vec4 m2 = texelFetch(table, ivec2(2, material), 0), m3 = texelFetch(table, ivec2(3, material), 0);
    vec4 m4 = texelFetch(table, ivec2(4, material), 0), m5 = texelFetch(table, ivec2(5, material), 0);
    int kind = int(m0.w); float scale = m1.w, blur = scale * g1.w * 2.0;
    vec3 shifted = local + m5.xyz, p = shifted * scale;
    vec2 uv = g2.w < 0.5 ? shifted.zy : g2.w < 1.5 ? shifted.xz : shifted.xy;
    if (m4.y < 0.5) uv = shifted.xy;
    else if (m4.y < 1.5) {
        uv = vec2(atan(local.x, local.z) * round(6.2832 * scale) / (6.2832 * scale) + m5.x, shifted.y);
        p.x = kind == 2 ? uv.x * scale : p.x;
    }
    uv *= scale;
"""

SHADE = f"""
#version 330
#define SKY {SKY}
uniform vec3 eye; uniform vec3 key_direction; uniform vec3 key_colour; uniform mat4 key_from_world;
uniform mat4 sky_from_world[SKY]; uniform vec3 sky_direction[SKY]; uniform vec3 sky_colour[SKY];
uniform vec3 fill_direction; uniform vec3 fill_colour; uniform float texel; uniform float exposure;
uniform sampler2DShadow key_shadow; uniform sampler2DShadow sky_shadow;
uniform sampler2D table; uniform sampler2DArray images;
uniform sampler2D where; uniform sampler2D facing; uniform sampler2D inside;
out vec4 colour;
{NOISE}
{MATERIALS}
vec3 sky(vec3 d) {{ return mix(sky_colour[SKY - 1], sky_colour[0], smoothstep(-0.5, 0.6, d.y)); }}
void main() {{
{SURFACE_POINT}    vec3 base = albedo(kind, p, uv, vec2(blur), m0.rgb, m1.rgb, m2.rgb, m2.w, m3.x, int(m4.z), shifted);
    float texels = max(g1.w * 2.0 * float(textureSize(images, 0).x), 1.0);
    if (m4.x >= 0.0) base *= pow(textureLod(images, vec3(local.xy, m4.x), log2(texels)).rgb, vec3(2.2));

    vec3 view = normalize(eye - position), n = normalize(g1.xyz);
    if (dot(n, view) < 0.0) n = -n;
    vec3 smooth_n = n;
    if (m4.w > 0.0) {{
        vec3 s = p * 2.5; float h = noise(s), e = 0.15;
        vec3 slope = (vec3(noise(s + vec3(e,0,0)), noise(s + vec3(0,e,0)), noise(s + vec3(0,0,e))) - h) / e;
        n = normalize(n - m4.w * clamp(1.5 - 2.0 * blur, 0.0, 1.0) * (slope - dot(slope, n) * n));
    }}
    vec4 k = key_from_world * vec4(position + smooth_n * 1.2 * texel, 1.0);
    vec2 tap = (vec2(at & 1) - 0.5) * 0.0035;
    float lit = texture(key_shadow, vec3(k.xy + tap, k.z - 0.002));
    vec3 light = key_colour * lit * max(dot(n, key_direction), 0.0);
    light += fill_colour * max(0.2 + 0.8 * dot(n, fill_direction), 0.0);
    vec3 reflected = reflect(-view, n), lifted = position + smooth_n * 2.5 * texel; float open_sky = 0.0, seen = 1e-3;
    for (int j = 0; j < SKY; j += 4) {{
        int i = j + turn;
        vec4 s = sky_from_world[i] * vec4(lifted, 1.0);
        float open = texture(sky_shadow, vec3(s.xy, s.z - 0.004));
        light += sky_colour[i] * (max(dot(n, sky_direction[i]), 0.0) * open * (16.0 / float(SKY)));
        float toward = max(dot(reflected, sky_direction[i]), 0.0); toward *= toward;
        open_sky += toward * open; seen += toward;
    }}
    float gloss = m3.y, metal = m5.w;
    float fresnel = gloss + (1.0 - gloss) * 0.5 * pow(1.0 - max(dot(n, view), 0.0), 5.0) * step(0.01, gloss);
    float high = pow(max(dot(n, normalize(view + key_direction)), 0.0), m3.z) * lit * (m3.z + 8.0) / 24.0;
    vec3 tint = mix(vec3(1.0), base, metal), environment = sky(reflected) * open_sky / seen;
    vec3 c = base * light * (1.0 - 0.65 * metal) + tint * gloss * high * key_colour * 0.6
           + tint * environment * mix(0.25 * fresnel, 0.75, metal);
    c *= exposure;
    c = mix(c, 0.8 + 0.2 * (1.0 - exp(-(c - 0.8) * 5.0)), step(0.8, c));
    colour = vec4(mix(12.92 * c, 1.055 * pow(max(c, vec3(1e-5)), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c)), 1.0);
}}
"""
