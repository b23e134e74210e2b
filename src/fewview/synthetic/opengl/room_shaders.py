"""GLSL for rooms: sunlight, windows and lamps with shadow maps, and what floor, walls and ceiling throw back.

Two passes as in `shaders`: SURFACE writes position, normal and texture coordinates at twice the resolution, SHADE
lights each sample once and leaves linear radiance. The four samples of a pixel take turns with the shadow taps, so that
their mean is soft. The room itself shines from SKY directions, each shadowed by the furniture; corners darken in closed
form.

A material with negative `metal` shines by itself, with -metal times its colour.
"""

from fewview.synthetic.opengl.shaders import CUTOUT_SURFACE, MATERIALS, NOISE, SURFACE_POINT
from fewview.synthetic.opengl.shaders import SURFACE as OBJECT_SURFACE

SKY, SKY_COLUMNS = 16, 4  # directions of indirect light, a multiple of 4; tiles in one atlas
LAMPS, LAMP_COLUMNS = 8, 4  # windows and lamps at most
WALLS = 8
LAMP_NEAR, LAMP_FAR = 0.05, 20.0

# At grazing angles the longer footprint blurs floors away and the shorter one flickers: take their geometric mean.
_FOOTPRINT = ("max(length(a), length(b))", "sqrt(length(a) * length(b))")
SURFACE, CUTOUT = OBJECT_SURFACE.replace(*_FOOTPRINT), CUTOUT_SURFACE.replace(*_FOOTPRINT)

SHADE = f"""
#version 330
#define SKY {SKY}
#define LAMPS {LAMPS}
#define WALLS {WALLS}
#define COLUMNS {LAMP_COLUMNS}
#define TAPS 3
#define NEAR {LAMP_NEAR}
uniform vec3 eye; uniform vec3 sun_direction; uniform vec3 sun_colour; uniform mat4 sun_from_world;
uniform int lamps; uniform vec4 lamp_place[LAMPS]; uniform vec4 lamp_aim[LAMPS]; uniform vec3 lamp_colour[LAMPS];
uniform mat4 lamp_from_world[LAMPS];
uniform mat4 sky_from_world[SKY]; uniform vec3 sky_direction[SKY]; uniform vec3 sky_colour[SKY]; uniform float texel;
uniform int walls; uniform vec4 wall[WALLS]; uniform float ceiling;
uniform sampler2DShadow sun_shadow; uniform sampler2DShadow sky_shadow; uniform sampler2DShadow lamp_shadow;
uniform sampler2D table; uniform sampler2DArray images;
uniform sampler2D where; uniform sampler2D facing; uniform sampler2D inside;
out vec4 colour;
{NOISE}
{MATERIALS}
float crease(float gap, float along) {{ return 1.0 - 0.4 * exp(-max(gap, 0.0) / 0.22) * (1.0 - max(along, 0.0)); }}
float corners(vec3 p, vec3 n) {{
    float open = crease(p.y, n.y) * crease(ceiling - p.y, -n.y);
    for (int i = 0; i < walls; i++) {{
        vec2 a = wall[i].xy, edge = wall[i].zw - a, q = p.xz - a, inward = normalize(vec2(-edge.y, edge.x));
        float t = clamp(dot(q, edge) / dot(edge, edge), 0.0, 1.0);
        open *= crease(length(q - t * edge), dot(n.xz, inward));
    }}
    return open;
}}
void main() {{
{SURFACE_POINT}    vec3 base;
    if (m4.x >= 0.0) {{
        float texels = max(g1.w * 2.0 * float(textureSize(images, 0).x), 1.0);
        base = m0.rgb * pow(textureLod(images, vec3(local.xy, m4.x), log2(texels)).rgb, vec3(2.2));
    }} else base = albedo(kind, p, uv, vec2(blur), m0.rgb, m1.rgb, m2.rgb, m2.w, m3.x, int(m4.z), shifted);
    if (m5.w < 0.0) {{ colour = vec4(base * -m5.w, 1.0); return; }}

    vec3 view = normalize(eye - position), n = dot(g1.xyz, g1.xyz) > 0.01 ? normalize(g1.xyz) : view;
    if (dot(n, view) < 0.0) n = -n;
    vec3 smooth_n = n, reflected = reflect(-view, n);
    float gloss = m3.y, metal = m5.w, power = m3.z;
    vec3 light = vec3(0.0), shine = vec3(0.0);

    float lit = 0.0;
    if (dot(n, sun_direction) > 0.0 && sun_colour.g > 0.0) {{
        vec4 k = sun_from_world * vec4(position + smooth_n * 0.012, 1.0);
        lit = texture(sun_shadow, vec3(k.xy + (vec2(at & 1) - 0.5) * 0.002, k.z - 0.0015));
        light += sun_colour * lit * dot(n, sun_direction);
    }}
    for (int i = 0; i < lamps; i++) {{
        vec3 to = lamp_place[i].xyz - position; float d2 = dot(to, to), area = lamp_place[i].w;
        vec3 l = to * inversesqrt(d2);
        float out_ = lamp_aim[i].w < 0.5 ? max(dot(-l, lamp_aim[i].xyz), 0.0) : 0.75 + 0.25 * dot(-l, lamp_aim[i].xyz);
        float facing_ = max(0.88 * dot(n, l) + 0.12, 0.0);        // wrapped: the source is wide
        float strength = out_ * facing_ / (d2 + area * 0.3183);
        if (strength <= 0.0) continue;
        vec3 side = normalize(cross(l, abs(l.y) < 0.9 ? vec3(0, 1, 0) : vec3(1, 0, 0))), up = cross(side, l);
        vec3 from = position + smooth_n * 0.03;
        vec2 grid = vec2(COLUMNS, LAMPS / COLUMNS), low = vec2(i % COLUMNS, i / COLUMNS) / grid;
        vec2 high = low + 1.0 / grid;
        float open = 0.0; int taps = lamp_aim[i].w < 0.5 ? TAPS : 1;
        for (int k = 0; k < taps; k++) {{   // a disc of taps; moving the point stands for moving over the source
            float index = float(k * 4 + turn) + 0.5, a = 2.39996 * index + float(i);
            float wide = 0.16 * sqrt(area * index / float(4 * taps));
            vec4 q = lamp_from_world[i] * vec4(from + (cos(a) * side + sin(a) * up) * wide, 1.0);
            vec3 s = q.xyz / q.w;
            bool covered = q.w > NEAR && all(greaterThan(s.xy, low + 0.002)) && all(lessThan(s.xy, high - 0.002));
            open += covered ? texture(lamp_shadow, vec3(s.xy, s.z - 0.05 * NEAR / (q.w * q.w))) : 1.0;
        }}
        open /= float(taps);
        light += lamp_colour[i] * (strength * open);
        shine += lamp_colour[i] * (pow(max(dot(reflected, l), 0.0), power) * open * out_ / (d2 + 1.0));
    }}
    vec3 lifted = position + smooth_n * 1.6 * texel, environment = vec3(0.0); float seen = 1e-3;
    vec3 indirect = vec3(0.0);
    for (int j = 0; j < SKY; j += 4) {{
        int i = j + turn;
        vec4 s = sky_from_world[i] * vec4(lifted, 1.0);
        float open = texture(sky_shadow, vec3(s.xy, s.z - 0.004));
        open = 0.22 + 0.78 * open;                                // furniture throws light back too
        indirect += sky_colour[i] * (max(dot(n, sky_direction[i]), 0.0) * open * (16.0 / float(SKY)));
        float toward = max(dot(reflected, sky_direction[i]), 0.0); toward *= toward;
        environment += sky_colour[i] * toward * open; seen += toward;
    }}
    light += indirect * corners(position, n);
    float fresnel = gloss + (1.0 - gloss) * 0.5 * pow(1.0 - max(dot(n, view), 0.0), 5.0) * step(0.01, gloss);
    float high = pow(max(dot(n, normalize(view + sun_direction)), 0.0), power) * lit * (power + 8.0) / 24.0;
    vec3 tint = mix(vec3(1.0), base, metal);
    vec3 gleam = gloss * (high * sun_colour * 0.6 + shine * (power + 8.0) / 40.0);
    vec3 c = base * light * (1.0 - 0.65 * metal) + tint * gleam
           + tint * environment / seen * mix(0.6 * fresnel, 0.75, metal);
    colour = vec4(max(c, 0.0), 1.0);  // a NaN becomes 0
}}
"""

__all__ = ["CUTOUT", "SHADE", "SURFACE"]
