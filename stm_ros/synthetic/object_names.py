# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The household objects that are rendered: which kind each is, and which are never trained on.

YCB objects (Calli et al. 2015; CC BY 4.0) have names `ycb_NNN_...`; the others are those of
pybullet-URDF-models (MIT) that are no copies of YCB objects. The split is by name, written down
once, so that no training and no measurement can disagree on it.
"""
#: coarse on purpose: what stands beside each other on a shelf, and is mistaken for another
KINDS: dict[str, tuple[str, ...]] = {
    'packaging': (
        'ycb_002_master_chef_can', 'ycb_003_cracker_box', 'ycb_004_sugar_box',
        'ycb_005_tomato_soup_can', 'ycb_006_mustard_bottle', 'ycb_007_tuna_fish_can',
        'ycb_008_pudding_box', 'ycb_009_gelatin_box', 'ycb_010_potted_meat_can',
        'ycb_021_bleach_cleanser', 'ycb_022_windex_bottle', 'conditioner', 'shampoo', 'repellent',
        'glue_1', 'glue_2', 'correction_fluid', 'orion_pie', 'poker_1', 'soap', 'suger_1',
        'suger_2', 'toothpaste_1'),
    'fruit and balls': (
        'ycb_011_banana', 'ycb_012_strawberry', 'ycb_013_apple', 'ycb_014_lemon', 'ycb_015_peach',
        'ycb_016_pear', 'ycb_017_orange', 'ycb_018_plum', 'ycb_053_mini_soccer_ball',
        'ycb_054_softball', 'ycb_055_baseball', 'ycb_056_tennis_ball', 'ycb_057_racquetball',
        'ycb_058_golf_ball', 'ycb_063-a_marbles', 'ycb_063-b_marbles'),
    'vessels': (
        'ycb_019_pitcher_base', 'ycb_024_bowl', 'ycb_025_mug', 'ycb_027_skillet',
        'ycb_028_skillet_lid', 'ycb_029_plate', 'ycb_065-a_cups', 'ycb_065-b_cups',
        'ycb_065-c_cups', 'ycb_065-d_cups', 'ycb_065-e_cups', 'ycb_065-f_cups', 'ycb_065-g_cups',
        'ycb_065-h_cups', 'ycb_065-i_cups', 'ycb_065-j_cups', 'blue_cup', 'green_cup',
        'orange_cup', 'yellow_cup', 'plate_holder'),
    'toys': (
        'ycb_036_wood_block', 'ycb_061_foam_brick', 'ycb_062_dice',
        'ycb_070-a_colored_wood_blocks', 'ycb_070-b_colored_wood_blocks',
        'ycb_071_nine_hole_peg_test', 'ycb_072-a_toy_airplane', 'ycb_072-b_toy_airplane',
        'ycb_072-c_toy_airplane', 'ycb_072-d_toy_airplane', 'ycb_072-e_toy_airplane',
        'ycb_073-a_lego_duplo', 'ycb_073-b_lego_duplo', 'ycb_073-c_lego_duplo',
        'ycb_073-d_lego_duplo', 'ycb_073-e_lego_duplo', 'ycb_073-f_lego_duplo',
        'ycb_073-g_lego_duplo', 'ycb_077_rubiks_cube', 'ycb_026_sponge'),
    'tools': (
        'ycb_030_fork', 'ycb_031_spoon', 'ycb_032_knife', 'ycb_033_spatula',
        'ycb_035_power_drill', 'ycb_037_scissors', 'ycb_038_padlock', 'ycb_040_large_marker',
        'ycb_042_adjustable_wrench', 'ycb_043_phillips_screwdriver', 'ycb_044_flat_screwdriver',
        'ycb_048_hammer', 'ycb_050_medium_clamp', 'ycb_051_large_clamp',
        'ycb_052_extra_large_clamp', 'ycb_059_chain', 'black_marker', 'blue_marker',
        'red_marker', 'small_marker', 'small_clamp', 'mini_claw_hammer_1', 'stapler_1',
        'stapler_2', 'remote_controller_1', 'remote_controller_2', 'book_holder_1',
        'book_holder_2')}

#: 19 YCB objects, some of each kind; all others may be trained on
HELD_OUT = (
    'ycb_004_sugar_box', 'ycb_005_tomato_soup_can', 'ycb_006_mustard_bottle',
    'ycb_008_pudding_box', 'ycb_010_potted_meat_can', 'ycb_011_banana', 'ycb_013_apple',
    'ycb_017_orange', 'ycb_019_pitcher_base', 'ycb_025_mug', 'ycb_035_power_drill',
    'ycb_048_hammer', 'ycb_051_large_clamp', 'ycb_055_baseball', 'ycb_056_tennis_ball',
    'ycb_065-g_cups', 'ycb_072-b_toy_airplane', 'ycb_073-f_lego_duplo', 'ycb_077_rubiks_cube')
TRAIN = tuple(name for names in KINDS.values() for name in names if name not in HELD_OUT)
SPLITS = {'train': TRAIN, 'held_out': HELD_OUT}

KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
