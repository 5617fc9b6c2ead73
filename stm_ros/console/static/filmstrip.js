// Copyright 2026 stm_ros contributors
// SPDX-License-Identifier: Apache-2.0
//
// The memory frames, references first, then the newest; each glows by the attention that it gets now.

export default {
  template: `
    <div class="filmstrip" role="list" aria-label="Memory frames">
      <figure v-for="slot in slots" :key="slot.key" role="listitem" class="film"
          :class="'film-' + slot.kind" :style="{ '--glow': slot.glow, '--hue': colour }"
          :title="slot.title">
        <div class="film-picture">
          <img v-if="slot.source" :src="slot.source" :alt="slot.title">
          <span v-else>seen before this page was open</span>
        </div>
        <figcaption>
          <b>{{ slot.share }}</b><span>{{ slot.kind }}</span><span>{{ slot.age }}</span>
        </figcaption>
      </figure>
      <p v-if="!slots.length" class="quiet">{{ empty }}</p>
    </div>`,
  props: { slots: Array, colour: String, empty: String },
};
