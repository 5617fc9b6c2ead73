// Copyright 2026 stm_ros contributors
// SPDX-License-Identifier: Apache-2.0
//
// Confidence over time as a line, the state as a band below it. Numbers come in as shares of the
// width (0 is oldest) and of the height (1 is sure).

// how much of the width a sample speaks for where none follows
const KNOWN = 4;

export default {
  template: `
    <svg class="timeline" viewBox="0 0 100 40" preserveAspectRatio="none" role="img"
        :aria-label="title">
      <line class="timeline-rule" v-for="y in [1, 16, 31]" :key="y" x1="0" x2="100" :y1="y" :y2="y"/>
      <polyline v-for="(line, index) in lines" :key="'l' + index" :points="line"/>
      <rect v-for="(band, index) in bands" :key="'b' + index" :x="band[0]" y="34" :width="band[1]" height="5"
        :class="'band-' + band[2]"/>
    </svg>`,
  props: { samples: Array, title: String },
  computed: {
    // a target that is lost has no confidence worth a line
    lines() {
      const lines = [[]];
      for (const [x, y, state] of this.samples) {
        if (state === 'LOST') lines.push([]);
        else lines[lines.length - 1].push(`${x},${31 - 30 * y}`);
      }
      return lines.filter((line) => line.length > 1).map((line) => line.join(' '));
    },
    bands() {
      const bands = [];
      this.samples.forEach(([x, , state], index) => {
        const next = this.samples[index + 1];
        const end = Math.min(next ? next[0] : 100, x + KNOWN);
        const last = bands[bands.length - 1];
        const goesOn = last && last[2] === state && last[0] + last[1] >= x - 0.01;
        if (goesOn) last[1] = end - last[0];
        else bands.push([x, end - x, state]);
      });
      return bands;
    },
  },
};
