"""The faults that `make mutants` plants, each in the glue between two correct functions: what is handed to whom, which
rows, which mask, which weights, which split, which seed, which unit. `run.py` says how to add one."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault, and the tests that must fail once it is planted.

    Attributes:
        name: word for the table and for `make mutants ONLY=name`.
        what: fault in one line.
        file: file of the package, relative to `condgen/`.
        old: text that occurs exactly once in the file.
        new: text that replaces it.
        tests: test files or node ids, relative to `tests/`, of which at least one must fail.
    """

    name: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = [
    # Found by outsiders, who planted them and saw the suite pass.
    Mutant(
        "ranks_share_noise", "every process of a distributed run draws the same noise",
        "training/adversarial.py", "self.global_rank, count", "0, count",
        ("training/test_adversarial.py::test_every_rank_draws_noise_of_its_own",),
    ),
    Mutant(
        "labels_of_other_rows", "the discriminator judges generated data under other rows' labels",
        "training/adversarial.py", "torch.cat([value, value])", "torch.cat([value, value.flip(0)])",
        ("training/test_adversarial.py::test_generated_data_are_judged_under_the_conditions_they_were_drawn_with",),
    ),
    Mutant(
        "quality_of_live_generator", "SampleQuality looks at the live generator, not at the average",
        "training/callbacks.py", "sample_like(cast(Model, pl_module.model)",
        "sample_like(cast(Model, pl_module.generator)",
        ("training/test_adversarial.py::test_sample_quality_looks_at_the_average_under_validation_conditions",),
    ),
    Mutant(
        "swapped_labels_score_padding", "the label-swap gap of audio scores padding",
        "evaluation/likelihood.py", "{**own, **those}, scored)", "{**own, **those})",
        ("evaluation/test_likelihood.py::test_figures_of_audio_do_not_depend_on_padding",),
    ),
    Mutant(
        "floor_of_unmatched_rows", "the floor is of training examples of other classes than the samples'",
        "evaluation/samples.py", "matching_rows(known, {name: asked[name] for name in known})",
        "range(len(generated.x))",
        ("evaluation/test_samples.py::test_the_floor_is_of_training_examples_of_the_classes_asked_for",),
    ),
    Mutant(
        "noise_of_neighbouring_seeds", "sample 1000 of a seed is sample 0 of the next",
        "sampling/noise.py", "np.array([seed, index]", "np.array([0, seed * 1000 + index]",
        ("sampling/test_noise.py::test_every_pair_of_seed_and_index_has_noise_of_its_own",),
    ),
    Mutant(
        "griffin_lim_is_late", "Griffin and Lim's copies come half a hop late",
        "evaluation/copy_synthesis.py", "start = feature.hop // 2", "start = 0",
        ("evaluation/test_copy_synthesis.py::test_a_copy_is_heard_when_the_original_is",),
    ),
    Mutant(
        "distance_over_silence", "the log-mel distance counts silent frames",
        "evaluation/copy_synthesis.py", ".mean(0)[loud]", ".mean(0)",
        ("evaluation/test_copy_synthesis.py::test_the_distance_is_over_frames_within_50_decibels_of_the_loudest",),
    ),
    Mutant(
        "pictures_in_half_decibels", "pictures of speech take power's decibels for amplitudes'",
        "evaluation/views.py", "decibels = 20 *", "decibels = 10 *",
        ("evaluation/test_views.py::test_a_tenth_of_the_amplitude_is_20_decibels_of_70",),
    ),
    Mutant(
        "adam_for_adamw", "weight decay is not decoupled",
        "training/likelihood.py", "torch.optim.AdamW(", "torch.optim.Adam(",
        ("training/test_likelihood.py::test_without_gradients_a_step_shrinks_the_networks_matrices_and_nothing_else",),
    ),
    Mutant(
        "crops_from_inside", "crops begin inside clips alone, so that their ends are all but never scored",
        "data/speech.py", "torch.randint(-self.crop // self.unit, length // self.unit + 1, ()",
        "torch.randint(0, (length - self.crop) // self.unit + 1, ()",
        ("data/test_speech.py::test_the_ends_of_a_clip_are_scored_too",),
    ),
    Mutant(
        "order_of_images_not_resumed", "the seed of the order of images is not restored",
        "data/images.py", 'self.seed = state_dict["seed"]', "pass",
        ("data/test_images.py::test_a_resumed_module_goes_on_in_the_order_that_was_saved",),
    ),
    Mutant(
        "padding_scored", "what pads a batch to one of the few lengths is scored",
        "data/speech.py", "scored[row, first - begin : last - begin]", "scored[row, first - begin :]",
        ("data/test_speech.py::test_batches_have_a_few_lengths_and_what_pads_them_is_not_scored",),
    ),
    Mutant(
        "lengths_of_batches_free", "every batch of clips has the length of its longest, and so dozens of lengths",
        "data/speech.py", "self.dataset(split, self.padded_lengths(split))", "self.dataset(split)",
        ("data/test_speech.py::test_batches_have_a_few_lengths_and_what_pads_them_is_not_scored",),
    ),
    Mutant(
        "users_threads_overwritten", "the command line overrides how the user lets threads wait",
        "cli.py", "if not any(name in os.environ for name in THREADS):", "if True:",
        ("test_cli.py::test_threads_that_wait_sleep_unless_the_user_has_said_how_they_wait",),
    ),
    Mutant(
        "precision_forgotten", "a run that goes on chooses its precision anew",
        "commands/fit.py", "config.trainer.precision or precision_of(checkpoint.content)", "config.trainer.precision",
        ("training/test_precision.py::test_a_run_says_its_precision_and_keeps_it_where_it_goes_on_elsewhere",),
    ),
    Mutant(
        "order_of_speech_not_resumed", "the seed of the order of clips is not restored",
        "data/speech.py", 'self.seed = state_dict["seed"]', "pass",
        ("data/test_speech.py::test_a_resumed_module_goes_on_in_the_order_that_was_saved",),
    ),
    # Data.
    Mutant(
        "phonemes_at_the_files_rate", "after resampling, phonemes move by samples of the wanted rate over the file's",
        "data/recordings.py", "start / self.sample_rate, len(kept)", "start / rate, len(kept)",
        ("data/test_recordings.py::test_phonemes_move_in_seconds_whatever_the_rate_of_the_file",),
    ),
    Mutant(
        "features_of_the_untrimmed_clip", "features are measured with the times of the clip before it was trimmed",
        "data/store.py", "reader.sample_rate, moved)", "reader.sample_rate, clip)",
        ("data/test_store.py::test_features_are_given_the_phonemes_of_what_trimming_left",),
    ),
    Mutant(
        "context_for_lookahead", "a crop's context and lookahead change places",
        "data/speech.py", "self.context, self.lookahead, self.unit", "self.lookahead, self.context, self.unit",
        ("data/test_speech.py::test_context_stands_before_what_is_scored_and_lookahead_behind_it",),
    ),
    Mutant(
        "padding_is_counted", "bits per sample are averaged over padding too",
        "data/batch.py", "int(batch.scored.sum()) * batch.x.shape[1]", "batch.x.numel()",
        ("evaluation/test_likelihood.py::test_figures_of_audio_do_not_depend_on_padding",),
    ),
    # Evaluation.
    Mutant(
        "samples_beside_training_data", "samples are compared with training examples, not with held-out ones",
        "evaluation/samples.py", "fidelity(classifier, pictures, asked[name], held_out.x, true)",
        "fidelity(classifier, pictures, asked[name], real, classes[name])",
        ("evaluation/test_samples.py::test_samples_are_compared_with_held_out_examples",),
    ),
    Mutant(
        "counts_transposed", "the table of classes has read and asked change places",
        "evaluation/samples.py", "Counter(zip(asked[name].tolist(), read, strict=True))",
        "Counter(zip(read, asked[name].tolist(), strict=True))",
        ("evaluation/test_samples.py::test_rows_of_the_counts_are_asked_and_columns_read",),
    ),
    Mutant(
        "pupil_examined_on_its_lesson", "a lesson's accuracy is measured on what was taught",
        "evaluation/samples.py", "pupil.accuracy(held_out.x, held_out.conditions[name])",
        "pupil.accuracy(images.images.x, images.images.conditions[name])",
        ("evaluation/test_samples.py::test_a_pupil_is_examined_on_held_out_examples",),
    ),
    Mutant(
        "classifiers_have_seen_the_test", "classifiers are trained on held-out examples",
        "evaluation/samples.py", 'train, kinds = seen.split("train")', 'train, kinds = seen.split("test")',
        ("evaluation/test_samples.py::test_classifiers_learn_from_training_examples",),
    ),
    Mutant(
        "marginal_without_the_true_class", "the likelihood with the class summed out leaves the true class out",
        "evaluation/likelihood.py", "torch.cat([log_prob[None], found])", "found",
        ("evaluation/test_likelihood.py::test_figures_of_audio_do_not_depend_on_padding",),
    ),
    Mutant(
        "grid_under_other_labels", "a grid's conditions come in another order than its labels",
        "evaluation/pictures.py", "torch.tensor(shown) if name == classes",
        "torch.tensor(shown[::-1]) if name == classes",
        ("evaluation/test_pictures.py::test_every_row_of_a_grid_has_the_conditions_of_its_label",),
    ),
    # Training.
    Mutant(
        "live_generator_held_out", "held-out data are ranked against the live generator, not the average",
        "training/adversarial.py", "self.generate(self.model, real)", "self.generate(self.generator, real)",
        ("training/test_adversarial.py::test_held_out_data_are_ranked_against_the_average",),
    ),
    Mutant(
        "adversarial_seed_not_resumed", "a resumed adversarial run draws other noise than the uninterrupted one",
        "training/adversarial.py", 'checkpoint.get("adversarial_seed")', "None",
        ("training/test_adversarial.py::test_a_run_resumed_under_another_global_seed_goes_on_bit_for_bit",),
    ),
    Mutant(
        "r1_at_generated_data", "R1 is taken at generated data",
        "training/adversarial.py", "x = real.x.clone().requires_grad_()", "x = drawn.clone().requires_grad_()",
        ("training/test_adversarial.py::test_r1_is_taken_at_real_data",),
    ),
    Mutant(
        "quality_under_training_conditions", "SampleQuality compares with training examples",
        "training/callbacks.py", 'view(data), data.dataset(self.split)', 'view(data), data.dataset("train")',
        ("training/test_adversarial.py::test_sample_quality_looks_at_the_average_under_validation_conditions",),
    ),
    Mutant(
        "learning_rate_by_epochs", "the learning rate's schedule counts epochs as steps",
        "training/likelihood.py", '"interval": "step"', '"interval": "epoch"',
        ("training/test_likelihood.py::test_the_learning_rate_moves_at_every_step",),
    ),
    # Sampling.
    Mutant(
        "truncation_lost", "a generator's truncation is not handed on to its noise",
        "sampling/pushforward.py", "model.network.noise, truncation)", "model.network.noise)",
        ("sampling/test_noise.py::test_truncation_reaches_the_generator",),
    ),
    Mutant(
        "streams_begin_at_index_0", "a stream draws the noise of sample 0 whatever its first index",
        "sampling/streaming.py", "origins(asked, num_samples, seed, first_index)",
        "origins(asked, num_samples, seed, 0)",
        ("sampling/test_noise.py::test_a_stream_and_a_sample_of_one_index_are_one",),
    ),
    # Commands.
    Mutant(
        "manifest_counts_anew", "after Ctrl-C the manifest's indices are places in the file, which no noise belongs to",
        "commands/plan.py", '"index": index, "conditions"', '"index": 0, "conditions"',
        ("commands/test_writing.py::test_the_manifest_names_the_index_that_made_each_sample",),
    ),
    Mutant(
        "last_is_the_oldest", "`--ckpt_path last` goes on from the oldest run",
        "commands/going_on.py", "last = max(found, key=_written)", "last = min(found, key=_written)",
        ("commands/test_going_on.py::test_last_is_the_newest",),
    ),
    Mutant(
        "temperature_lost_in_evaluation", "`evaluate --temperature` is reported and not handed to the sampler",
        "commands/measuring.py", "wanted.num_samples, seed, **options)",
        "wanted.num_samples, seed, batch_size=wanted.batch_size)",
        ("commands/test_evaluate.py::test_options_of_sampling_reach_the_sampler",),
    ),
    Mutant(
        "comparison_in_eight_bits", "levels are compared as tensors of 8 bits, where 256 is 0",
        "quantization.py", "(x.min().item(), x.max().item()) if x.numel() else (0, 0)", "(x.min(), x.max())",
        ("models/test_contract.py::test_levels_and_ids_mean_the_same_in_every_type",),
    ),
    Mutant(
        "cache_of_a_checkpoint", "clips are prepared where a checkpoint says",
        "checkpoint.py", "**read_only(self.data_path, _arguments(self._data))}", "**_arguments(self._data)}",
        ("test_hostile_checkpoints.py::test_nothing_is_written_where_a_checkpoint_says",),
    ),
    Mutant(
        "no_class_is_checked", "what a checkpoint names is built without a look at it",
        "checkpoint.py", "foreign += check(content[part], classes, trust) if part in content else []", "pass",
        ("test_hostile_checkpoints.py::test_no_command_imports_or_runs_what_a_checkpoint_names",),
    ),
    Mutant(
        "engine_off_trial", "an engine on trial is taken whatever it draws",
        "engines/choice.py", "    if wrong is None:\n", "    if True:\n",
        ("engines/test_choice.py::test_an_engine_on_trial_that_draws_otherwise_gives_way_with_a_line",),
    ),
    Mutant(
        "own_label_among_the_others", "the label-swap gap averages over the true label too",
        "evaluation/likelihood.py", "torch.arange(1, classes)[:, None]", "torch.arange(classes)[:-1, None]",
        ("evaluation/test_likelihood.py::test_the_gap_is_the_exact_mean_over_all_other_labels_where_they_are_few",),
    ),
    Mutant(
        "finished_parts_lost", "an evaluation that fails late keeps nothing",
        "commands/as_finished.py", "        if not finished:\n", "        if True:\n",
        ("commands/test_evaluate.py::test_what_is_finished_is_kept_when_the_rest_fails",),
    ),
    Mutant(
        "quick_resampling", "recordings are resampled by linear interpolation, with aliases",
        "data/levels.py", 'quality="VHQ"', 'quality="QQ"',
        ("data/test_levels.py::test_what_lies_above_half_the_new_rate_is_gone",),
    ),
    Mutant(
        "gate_of_loudness_at_the_files_gain", "the absolute gate of loudness is that of the file's own gain",
        "data/levels.py", "powers >= power * 10**-4.7", "powers >= min(power, 10**-7)",
        ("data/test_levels.py::test_the_gain_of_a_file_changes_nothing",),
    ),
    Mutant(
        "offset_kept", "the offset of a recording stays",
        "data/recordings.py", "if self.remove_dc and len(waveform):", "if self.mono and len(waveform):",
        ("data/test_recordings.py::test_an_offset_changes_nothing",),
    ),
    Mutant(
        "photographs_on_their_side", "the orientation of photographs is ignored",
        "data/pictures.py", "ImageOps.exif_transpose(image)", "image.copy()",
        ("data/test_pictures.py::test_a_photograph_is_turned_upright",),
    ),
    Mutant(
        "position_before_number", "a number names the class that stands at its place",
        "conditioning/names.py", "found = find_position(names, word) if found is None else found",
        "found = int(word) if word.isdigit() and int(word) < len(names) else found",
        ("conditioning/test_names.py::test_a_word_is_a_name_or_an_equal_number_or_a_position",),
    ),
    Mutant(
        "weights_by_position", "`--weights` carries classes over by their place, whatever they are called",
        "commands/weights.py", "value.index_select(axis, of)", "value.index_select(axis, torch.arange(len(of)))",
        ("commands/test_weights.py::test_a_row_of_a_name_ends_at_that_name_and_others_stay_as_they_were",),
    ),
    Mutant(
        "untrained_voice_unsaid", "`sample` says nothing when a class is asked for that no example has trained",
        "commands/sample.py", "warn_of_untrained(checkpoint.untrained, {", "(lambda *_: None)(checkpoint.untrained, {",
        ("commands/test_fit.py::test_a_speaker_who_has_only_test_clips_is_warned_of_wherever_its_untrained_row_is_used",),
    ),
    Mutant(
        "bad_weights_saved", "weights that are no numbers take the place of good ones",
        "training/divergence.py", "if _anywhere(trainer, bool(wrong)):", "if False:",
        ("training/test_divergence.py",),
    ),
    # What a configuration leaves out, and how long a run is.
    Mutant(
        "given_grid_overwritten", "the data's shape takes the place of the one that was given",
        "commands/completion.py", "if key in parameters and key not in own and value is not None:",
        "if key in parameters and value is not None:",
        ("commands/test_completion.py::test_what_is_given_stands_and_is_compared_with_the_data",),
    ),
    Mutant(
        "hop_before_upsampling", "the hop of a network is that of the data, whatever its encoder upsamples",
        "commands/completion.py", 'hop // int(_arguments(encoder).get("factor") or 1)', "hop",
        ("commands/test_completion.py::test_an_encoder_that_upsamples_makes_the_hop_shorter",),
    ),
    Mutant(
        "steps_are_epochs", "the steps of a run are counted as epochs",
        "training/pace.py", "math.ceil(self.steps / trainer.estimated_stepping_batches)", "self.steps",
        ("training/test_pace.py::test_a_run_has_as_many_whole_epochs_as_make_its_steps",),
    ),
    Mutant(
        "last_epoch_unseen", "a run ends without samples unless its last epoch is one of the interval's",
        "training/pace.py", "return number == total or number % every == 0", "return number % every == 0",
        ("training/test_pace.py::test_samples_are_due_as_often_as_asked_and_at_the_end",),
    ),
    Mutant(
        "table_ignored", "a table beside the recordings is not read",
        "data/speech_sources.py", "if tables else _listed_by_folder(", "if not root else _listed_by_folder(",
        ("data/test_speech_sources.py::test_a_folder_with_a_table_is_read_by_it",),
    ),
    Mutant(
        "looks_at_too_few", "samples are compared with validation examples however few these are",
        "training/callbacks.py", 'if len(data.dataset("val")) > NEIGHBOURS else "train"', 'if data else "train"',
        ("training/test_callbacks.py::test_quality_compares_with_training_examples_where_validation_has_too_few",),
    ),
    Mutant(
        "a_row_too_few", "a step of PixelCNN keeps one row too few of those above",
        "models/pixelcnn.py", "rows[:, :, 1:]", "F.pad(rows[:, :, 2:], (0, 0, 1, 0))",
        ("models/test_pixelcnn.py::test_step_equals_forward_at_every_position",),
    ),
    Mutant(
        "condition_at_dilation_1", "a concatenated condition is convolved without the layer's dilation",
        "models/pixelcnn.py", "partial(across, bias=False)", "partial(across, dilation=1, bias=False)",
        ("models/test_pixelcnn.py::test_concat_is_concatenation_to_the_convolution_before_each_gate",),
    ),
    Mutant(
        "compiled_tap_at_dilation_1", "the compiled engine reads the taps of PixelCNN as if they were neighbours",
        "engines/kernels.py", "at_x + i * dilation * size", "at_x + i * size",
        ("engines/test_compiled.py::test_an_image_that_one_engine_begins_another_finishes",),
    ),
    Mutant(
        "compiled_row_at_dilation_1", "the compiled engine reads the rows above as if they were neighbours",
        "engines/kernels.py", "(far + 1) + i * dilation) * line", "(far + 1) + i) * line",
        ("engines/test_compiled.py::test_an_image_that_one_engine_begins_another_finishes",),
    ),
    Mutant(
        "graph_tap_at_dilation_1", "the graph engine reads the columns to the left as if they were neighbours",
        "engines/graph_pixelcnn.py", "outside - tap * block.dilation", "outside - tap",
        ("engines/test_graph.py::test_the_equality_of_pixelcnns_catches",),
    ),
    # Augmentation of what a discriminator sees.
    Mutant(
        "real_augmented_alone", "real examples alone are augmented, so that the generator learns the changes",
        "training/adversarial.py", "self.augment(torch.cat([real.x, generated]))",
        "torch.cat([self.augment(real.x), generated])",
        ("training/test_adversarial.py::test_in_training_the_discriminator_sees_nothing_but_augmented_examples",),
    ),
    Mutant(
        "generator_judged_unaugmented", "the generator's loss is of examples that were not augmented",
        "training/adversarial.py", "self.augment(generated.to(real.x))", "generated.to(real.x)",
        ("training/test_adversarial.py::test_in_training_the_discriminator_sees_nothing_but_augmented_examples",),
    ),
    Mutant(
        "penalties_unaugmented", "penalties are taken at examples that the discriminator is never taught",
        "training/adversarial.py", "self._penalty(real._replace(x=x), drawn)", "self._penalty(real, generated)",
        ("training/test_adversarial.py::test_in_training_the_discriminator_sees_nothing_but_augmented_examples",),
    ),
    Mutant(
        "one_level_for_all", "all examples of a batch share one draw of a level",
        "training/augmentation.py", "torch.rand(len(x), *(1,)", "torch.rand(1, *(1,)",
        ("training/test_augmentation.py::test_every_example_has_a_draw_of_its_own_in_every_type",),
    ),
    Mutant(
        "one_shift_for_all", "all examples of a batch are shifted alike",
        "training/augmentation.py", "torch.randint(2 * most + 1, (len(x), 1)",
        "torch.randint(2 * most + 1, (1, 1)",
        ("training/test_augmentation.py::test_every_example_has_a_draw_of_its_own_in_every_type",),
    ),
    Mutant(
        "rarest_class_of_none", "a class without examples turns augmentation on",
        "training/augmentation.py", "in counts.items() if count)", "in counts.items())",
        ("training/test_augmentation.py::test_the_class_with_the_fewest_examples_decides_and_empty_ones_do_not_count",),
    ),
    Mutant(
        "held_out_examples_cut", "`examples_per_class` cuts held-out examples too",
        "data/images.py", 'self.examples_per_class if split == "train" else None', "self.examples_per_class",
        ("data/test_images.py::test_as_many_training_examples_are_kept_of_each_class_as_are_asked_for",),
    ),
    Mutant(
        "beginnings_of_none", "crops fall at the beginning of their clip by chance alone",
        "data/speech.py", "float(torch.rand((), generator=rng)) < self.beginnings", "False",
        ("data/test_speech.py::test_so_many_crops_begin_where_the_clip_begins",),
    ),
    Mutant(
        "one_seed_for_all_samplings", "every sampling of `evaluate` has the same seed, so that there is no spread",
        "commands/measuring.py", "wanted.num_samples, seed + i,", "wanted.num_samples, seed,",
        ("commands/test_evaluate.py::test_samplings_are_those_of_the_next_seeds",),
    ),
    Mutant(
        "export_of_last_weights", "what is exported are the last weights, not their average",
        "commands/exporting.py", "checkpoint.model().state_dict()", 'checkpoint.model("live").state_dict()',
        ("commands/test_export.py::test_in_32_bits_the_model_is_the_checkpoints_bit_for_bit",),
    ),
    Mutant(
        "export_rounds_vectors", "biases and statistics are rounded to 16 bits too",
        "exported.py", "own.ndim < 2", "own.ndim < 1",
        ("commands/test_export.py::test_in_16_bits_matrices_are_the_nearest_float16_and_vectors_stay",),
    ),
    Mutant(
        "export_in_bfloat16", "matrices are rounded eight times as coarsely as said",
        "exported.py", "(half := own.half())", "(half := own.bfloat16().half())",
        ("commands/test_export.py::test_in_16_bits_matrices_are_the_nearest_float16_and_vectors_stay",),
    ),
    Mutant(
        "export_names_places", "where the data lay on the machine of the training is handed on",
        "exported.py", "{name: placeless(value) for", "{name: value for",
        ("commands/test_export.py::test_nothing_of_this_machine_is_in_it_but_all_of_the_model",),
    ),
    Mutant(
        "weights_of_any_kind", "whole numbers are taken for weights",
        "exported.py", "found[name].is_floating_point() != value.is_floating_point()", "found[name] is value",
        ("commands/test_export.py::test_a_weight_of_another_shape_or_kind_is_named",),
    ),
    Mutant(
        "sizes_unbounded", "a model is built however large config.json says it is",
        "exported.py", "if made > most or", "if made < 0 or",
        ("commands/test_export.py::test_the_bound_on_what_is_built_is_of_its_block_and_thread_alone",),
    ),
    Mutant(
        "figures_of_any_model", "a card shows the figures of another model",
        "commands/export_card.py", 'if report["checkpoint"] != checkpoint.sha256', 'if not report["checkpoint"]',
        ("commands/test_export.py::test_figures_of_another_model_stand_on_no_card",),
    ),
    Mutant(
        "hash_of_half_an_export", "samples name an exported model by its weights alone",
        "checkpoint.py", "[self.path / WEIGHTS, self.path / CONFIG] if", "[self.path / WEIGHTS] if",
        ("commands/test_export.py::test_a_folder_takes_the_place_of_a_checkpoint",),
    ),
    Mutant(
        "voice_of_another", "voices are compared with those of the speakers not asked for",
        "evaluation/voices.py", 'float(cosines[asked].mean())', 'float(cosines[~asked].mean())',
        ("evaluation/test_judges.py::test_voices_are_compared_with_the_speaker_asked_for_and_with_the_others",),
    ),
    Mutant(
        "judges_hear_originals", "judges hear held-out clips in place of samples, and the other way round",
        "evaluation/heard.py", "(generated.x, generated.originals)", "(generated.originals, generated.x)",
        ("evaluation/test_judges.py::test_samples_training_and_held_out_clips_are_told_apart_and_heard_at_16_khz",),
    ),
    Mutant(
        "word_of_the_next", "a word counts as right where it is the one that another clip was asked for",
        "evaluation/judges.py", "given.classes[condition].tolist()", "given.classes[condition].roll(1).tolist()",
        ("evaluation/test_judges.py::test_words_are_those_of_the_class_asked_for",),
    ),
    Mutant(
        "voices_known_by_heart", "a speaker's mean voice is learnt from the very clips that are judged",
        "evaluation/heard.py", "key=judged.__contains__)", "key=lambda row: row not in judged)",
        ("evaluation/test_judges.py::test_voices_are_learnt_from_clips_that_are_not_judged",),
    ),
    Mutant(
        "guided_the_wrong_way", "guidance moves away from the conditions and not towards them",
        "engines/draw.py", "self.guidance * (present - absent)", "self.guidance * (absent - present)",
        ("sampling/test_guidance.py",),
    ),
    Mutant(
        "pairs_of_other_samples", "a sample is guided away from what another one is without its conditions",
        "sampling/ancestral.py", "rows + i % others)]", "rows + others - 1 - i % others)]",
        ("sampling/test_guidance.py",),
    ),
    Mutant(
        "conditions_dropped_apart", "each condition of an example is dropped by a chance of its own",
        "conditioning/condition_dropout.py", "{name: drawn < p for", "{name: torch.rand_like(drawn) < p for",
        ("conditioning/test_condition_dropout.py",),
    ),
    Mutant(
        "checkpoint_forgets_dropout", "a checkpoint's model does not know that conditions were dropped",
        "checkpoint.py", '"condition_dropout", "adapted"', '"adapted"',
        ("commands/test_sample.py::test_guidance_reaches_the_sampler_and_the_manifest",),
    ),
    Mutant(
        "share_of_the_means", "the share of variance between maps counts each map once, and not once a row",
        "analysis/statistics.py", "between * len(values) / total", "between / total",
        ("analysis/test_statistics.py::test_the_share_of_both_weighs_each_part_by_its_variance",),
    ),
    Mutant(
        "ablation_keeps_the_rest", "an ablation takes away what it should keep, and the other way round",
        "analysis/ablation.py", "both[0] if mine else both[1]", "both[1] if mine else both[0]",
        ("analysis/test_ablation.py::test_what_carries_the_condition_is_found",),
    ),
    Mutant(
        "mean_over_the_first_clip", "the mean over classes has the local conditions of the first example",
        "commands/held_out.py", "part[row : row + 1].expand", "part[:1].expand",
        ("commands/test_held_out.py::test_the_mean_over_classes_keeps_what_is_local",),
    ),
    Mutant(
        "path_scored_backwards", "held-out examples are scored along the path in the other direction",
        "commands/travelling.py", "bits(of, examples, make(start, end))", "bits(of, examples, make(end, start))",
        ("commands/test_held_out.py::test_a_path_is_scored_from_one_class_to_the_other",),
    ),
    Mutant(
        "adapting_moves_a_neighbour", "what is learnt of a new class goes to the row of another one",
        "training/adaptation.py", "torch.cat([others, row.unsqueeze(self.axis)], self.axis)",
        "torch.cat([row.unsqueeze(self.axis), others], self.axis)",
        ("training/test_adaptation.py::test_only_the_new_class_moves_and_its_loss_falls",),
    ),
    Mutant(
        "adapted_under_one_digit", "examples of a new class are learnt under another digit than their own",
        "commands/given_examples.py", "return known[place]", "return known[0]",
        ("commands/test_adapt.py::test_examples_are_prepared_as_training_clips_are_and_keep_their_digits",),
    ),
    Mutant(
        "average_of_all", "a new class starts as the mean of all classes, whatever is asked",
        "commands/grown.py", "torch.tensor(ids)).mean", "torch.arange(len(encoder.names or ()))).mean",
        ("commands/test_adapt.py::test_a_second_class_leaves_the_first_as_it_was",),
    ),
    Mutant(
        "offset_for_others", "FiLM parameters of an adapted class are added to those of all others",
        "conditioning/adapted.py", "rows = torch.zeros(encoder.classes,", "rows = torch.ones(encoder.classes,",
        ("conditioning/test_adapted.py",),
    ),
    Mutant(
        "dropped_rows_keep_offsets", "a row without its class in training still has what the class was adapted by",
        "conditioning/film_generator.py", "dropped[name]) if name in dropped else own",
        "dropped[name]) if not dropped else own",
        ("conditioning/test_adapted.py",),
    ),
    Mutant(
        "gates_add_up_with_scales", "a gate's δ is added to that of the other conditions' scales",
        "conditioning/heads.py", "2 * torch.sigmoid(gate), torch.mul)", "2 * torch.sigmoid(gate) - 1)",
        ("conditioning/test_mechanism.py",),
    ),
    Mutant(
        "one_mechanism_for_all", "the heads of `scale` read the conditions that gate too",
        "conditioning/film_generator.py", "if self.mechanisms[name] in kinds:", "if True:",
        ("conditioning/test_mechanism.py",),
    ),
    Mutant(
        "multipliers_of_other_layers", "post-multipliers go to the layers in reverse",
        "conditioning/heads.py", "zip(layers, self.by_part[part], strict=True)",
        "zip(layers, self.by_part[part].flip(0), strict=True)",
        ("conditioning/test_heads.py",),
    ),
    Mutant(
        "padding_is_attended", "a multi-hop generator attends to what pads a row",
        "conditioning/multi_hop.py", "scores.masked_fill(~present, -torch.inf).softmax(1)", "scores.softmax(1)",
        ("conditioning/test_multi_hop.py",),
    ),
    Mutant(
        "hops_forget", "every hop asks by what the encoder says of the whole, not by the memory before",
        "conditioning/multi_hop.py", "memory @ query.T) *", "whole @ query.T) *",
        ("conditioning/test_multi_hop.py",),
    ),
    Mutant(
        "gates_of_another_order", "an LSTM's gates are read in another order than PyTorch's",
        "conditioning/self_conditioning.py", "i, f, g, o = gates.chunk(4, 1)", "i, f, o, g = gates.chunk(4, 1)",
        ("conditioning/test_self_conditioning.py",),
    ),
    Mutant(
        "looking_unnoticed", "a causal network may hold layers that look at other positions",
        "models/conditional.py", "require_causal_network(network)", "pass",
        ("conditioning/test_self_conditioning.py",),
    ),
    Mutant(
        "shown_is_itself", "an example is shown itself in the place of another one of its class",
        "data/others.py", "torch.randint(1, count,", "torch.randint(0, count,",
        ("data/test_others.py", "data/test_speech.py::test_a_voice_is_shown_by_another_clip_of_the_speaker_as_it_is_"
         "measured_itself"),
    ),
    Mutant(
        "padding_is_read", "a caption is the state behind its last word, where others are longer",
        "conditioning/token_sequence.py", "last = present.sum(1) - 1", "last = present.sum(1) * 0 + ids.shape[1] - 1",
        ("conditioning/test_token_sequence.py",),
    ),
    Mutant(
        "padding_is_heard", "frames behind a recording count in its mean",
        "conditioning/audio_reference.py", "counts = present.sum(2)", "counts = torch.ones_like(present).sum(2)",
        ("conditioning/test_audio_reference.py",),
    ),
    Mutant(
        "few_lose_their_captions", "the few examples kept of each class have the captions of the first ones",
        "data/images.py", "for part in (images.conditions, images.captions))",
        "for part in (images.conditions, {n: of[kept.argsort()] for n, of in images.captions.items()}))",
        ("data/test_captions.py",),
    ),
    Mutant(
        "adapted_in_place", "batch norm is adapted in the very model that is given",
        "conditioning/batch_statistics.py", "adapted = copy.deepcopy(model).eval()", "adapted = model.eval()",
        ("conditioning/test_batch_statistics.py",),
    ),
    Mutant(
        "checkpoint_forgets_hops", "a checkpoint's model does not know that it attends to tokens",
        "checkpoint.py", '"adapted", "film_depth", "film_generator", ', '"adapted", "film_depth", ',
        ("test_checkpoint.py::test_a_model_that_attends_to_captions_is_rebuilt_with_its_memories_and_can_be_guided",),
    ),
]  # fmt: skip
